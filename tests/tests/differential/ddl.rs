//! ALTER TABLE and what else comes between statements.

use crate::{
    generator::Generator,
    model::{Column, Table},
    step::Step,
    value::{TYPES, Type, ident},
};

/// From, to, and how.
const RETYPES: &[(&str, &str, &str)] = &[
    ("int", "bigint", ""),
    ("smallint", "int", ""),
    ("int", "text", ""),
    ("int", "numeric", ""),
    ("varchar(30)", "text", ""),
    ("char(5)", "text", ""),
    ("text", "bytea", " using convert_to(?, 'UTF8')"),
    ("numeric(10,2)", "numeric", ""),
    ("real", "float8", ""),
    ("date", "timestamp", ""),
    ("timestamp", "timestamptz", ""),
    ("timestamp(0)", "timestamp", ""),
    ("jsonb", "json", ""),
    ("json", "jsonb", ""),
    ("json", "text", ""),
    ("jsonb", "text", ""),
    ("mood", "text", ""),
    ("int", "posint", ""),
    ("bool", "text", ""),
    ("uuid", "text", ""),
    ("money", "numeric", ""),
    ("text[]", "words", ""),
    ("cidr", "inet", ""),
    ("time", "interval", ""),
];

fn named(name: &str) -> Option<Type> {
    TYPES.iter().copied().find(|t| t.name == name)
}

impl Generator {
    pub fn ddl(&mut self) -> Step {
        let index = self.random.below(self.model.tables.len());
        let mut t = self.model.tables[index].clone();
        let before = t.sql();
        let free: Vec<Column> = t.columns.iter().filter(|c| !c.pinned && !t.key.contains(&c.id)).cloned().collect();
        let statement = match self.random.below(12) {
            0..=2 => self.add_column(&mut t),
            3 | 4 if !free.is_empty() => {
                let column = self.random.pick(&free).clone();
                t.columns.retain(|c| c.id != column.id);
                format!("drop column {}", column.sql())
            }
            5 | 6 => {
                let loose: Vec<Column> = t.columns.iter().filter(|c| !c.pinned).cloned().collect();
                if loose.is_empty() {
                    return self.statement();
                }
                let column = self.random.pick(&loose).clone();
                let new = self.random_column(&mut t, 0).name;
                if let Some(c) = t.columns.iter_mut().find(|c| c.id == column.id) {
                    c.name.clone_from(&new);
                }
                format!("rename column {} to {}", column.sql(), ident(&new))
            }
            7..=9 => {
                let possible: Vec<(u32, &(&str, &str, &str))> = t
                    .columns
                    .iter()
                    .filter(|c| !c.pinned && !c.generated)
                    .flat_map(|c| RETYPES.iter().filter(|(from, ..)| *from == c.ty.name).map(|r| (c.id, r)))
                    .collect();
                if possible.is_empty() {
                    self.add_column(&mut t)
                } else {
                    let (id, (_, to, how)) = *self.random.pick(&possible);
                    let mut sql = String::new();
                    if let (Some(c), Some(ty)) = (t.columns.iter_mut().find(|c| c.id == id), named(to)) {
                        c.ty = ty;
                        sql = format!("alter column {} type {to}{}", c.sql(), how.replace('?', &c.sql()));
                    }
                    sql
                }
            }
            10 if free.len() == t.columns.len() - t.key.len() && t.partitions.is_none() => {
                let name = format!("{}2", t.name);
                t.name = name;
                format!("rename to {}", ident(&t.name))
            }
            11 if t.partitions.is_some() && self.random.percent(60) => return self.partition_ddl(index),
            11 if free.len() == t.columns.len() - t.key.len() && t.partitions.is_none() => {
                t.schema = if t.schema == "public" { "s2".into() } else { "public".into() };
                format!("set schema {}", t.schema)
            }
            _ => self.add_column(&mut t),
        };
        let sql = format!("alter table {before} {statement}");
        self.replace(index, t, sql)
    }

    fn add_column(&mut self, t: &mut Table) -> String {
        let mut column = self.random_column(t, 0);
        let default = if self.random.percent(50) {
            let value = column.ty.sql(&mut self.random, false);
            column.not_null = self.random.percent(40);
            format!(" default {value}{}", if column.not_null { " not null" } else { "" })
        } else {
            String::new()
        };
        let sql = format!("add column {} {}{default}", column.sql(), column.ty.name);
        t.columns.push(column);
        sql
    }

    /// A partition comes or goes.
    fn partition_ddl(&mut self, index: usize) -> Step {
        let mut t = self.model.tables[index].clone();
        let root = t.sql();
        let Some(partitions) = &mut t.partitions else { return self.statement() };
        if partitions.leaves.is_empty() {
            return self.statement();
        }
        let n = self.random.below(partitions.leaves.len());
        let (leaf, bounds) = partitions.leaves[n].clone();
        let bounds = bounds.join(" ");
        match self.random.below(3) {
            0 => {
                // Away and back.
                self.step(Step::new(format!("alter table {root} attach partition {leaf} {bounds}")));
                self.replace(index, t, format!("alter table {root} detach partition {leaf}"))
            }
            1 => {
                partitions.leaves.remove(n);
                self.without_partition(index, t, &leaf)
            }
            _ => {
                self.step(Step::new(format!("create table {leaf} partition of {root} {bounds}")));
                self.without_partition(index, t, &leaf)
            }
        }
    }

    fn without_partition(&mut self, index: usize, t: Table, leaf: &str) -> Step {
        let is_told = t.tells_partitions();
        let mut step = self.replace(index, t, format!("drop table {leaf}"));
        if is_told {
            step.resets.clear();
        }
        step
    }

    /// The step after which the table is another one.
    fn replace(&mut self, index: usize, mut t: Table, sql: String) -> Step {
        let mut step = Step::new(sql);
        if let Some(capture) = &mut t.capture {
            capture.strict = false;
            step = step.resetting(&capture.aggregate_type);
        }
        let mut model = self.model.clone();
        model.tables[index] = t;
        self.pending = Some(model);
        step
    }
}

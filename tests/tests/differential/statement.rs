//! Random statements that write.

use crate::{
    generator::Generator,
    model::{Column, Table},
    schema::names,
    step::Step,
    value::{KEY, NUMBER, TEXT, copy_field},
};

impl Generator {
    pub fn statement(&mut self) -> Step {
        let table = self.random.below(self.model.tables.len());
        self.statement_on(table)
    }

    pub fn statement_on(&mut self, table: usize) -> Step {
        let t = self.model.tables[table].clone();
        match self.random.below(100) {
            0..=24 => self.insert(table),
            25..=29 if self.has("copy") => self.copy(&t),
            30..=55 => Step::new(self.update(&t, true)),
            56..=64 => Step::new(self.delete(&t, true)),
            65..=71 if self.has("merge") && self.version >= 15 => self.merge(&t),
            72..=78 => self.several(table),
            79..=81 if self.has("truncate") => self.truncate(&t),
            82..=87 if self.has("rekey") => self.rekey(&t),
            88..=92 => self.block(table),
            93..=94 => self.bulk(&t),
            95..=96 => Step::new("set constraints all deferred"),
            _ => Step::new(self.update(&t, true)),
        }
    }

    fn literals(&mut self, columns: &[&Column]) -> String {
        let values: Vec<String> = columns.iter().map(|c| c.ty.sql(&mut self.random, !c.not_null)).collect();
        values.join(", ")
    }

    /// Key columns, and most of the others.
    fn insert_columns<'a>(&mut self, t: &'a Table) -> Vec<&'a Column> {
        let mut columns = t.writable();
        columns.retain(|c| c.not_null || t.key.contains(&c.id) || self.random.percent(75));
        columns
    }

    fn target(&mut self, t: &Table) -> String {
        match &t.partitions {
            Some(p) if !p.leaves.is_empty() && self.random.percent(15) => self.random.pick(&p.leaves).0.clone(),
            _ => t.sql(),
        }
    }

    pub fn insert(&mut self, table: usize) -> Step {
        let t = self.model.tables[table].clone();
        Step::new(self.insert_sql(&t, true))
    }

    fn insert_sql(&mut self, t: &Table, returning: bool) -> String {
        let columns = self.insert_columns(t);
        let rows = if self.random.percent(50) { 1 } else { 2 + self.random.below(4) };
        let rows: Vec<String> = (0..rows).map(|_| format!("({})", self.literals(&columns))).collect();
        let mut sql = format!("insert into {} ({}) values {}", self.target(t), names(&columns), rows.join(", "));
        let key = t.key_columns();
        match self.random.below(4) {
            0 | 1 => sql += " on conflict do nothing",
            2 if !key.is_empty() && !t.deferrable && t.payload().len() > 1 => {
                let column = (*self.random.pick(&t.payload())).clone();
                let value = self.assigned(&column);
                let value = if self.random.percent(60) { format!("excluded.{}", column.sql()) } else { value };
                sql += &format!(" on conflict ({}) do update set {} = {value}", names(&key), column.sql());
            }
            _ => {}
        }
        if returning && self.random.percent(20) {
            sql += " returning *";
        }
        sql
    }

    /// A new value for a column, as a literal.
    fn assigned(&mut self, column: &Column) -> String {
        column.ty.sql(&mut self.random, !column.not_null)
    }

    fn assignments(&mut self, t: &Table) -> String {
        let payload = t.payload();
        if payload.is_empty() {
            let c = t.columns[0].sql();
            return format!("{c} = {c}");
        }
        let count = 1 + self.random.below(3.min(payload.len()));
        let mut chosen: Vec<&Column> = vec![];
        while chosen.len() < count {
            let column = *self.random.pick(&payload);
            if chosen.iter().all(|c| c.id != column.id) {
                chosen.push(column);
            }
        }
        let set: Vec<String> = chosen
            .iter()
            .map(|c| {
                let name = c.sql();
                let value = match self.random.below(10) {
                    0 => name.clone(),
                    1 | 2 if c.ty.is(NUMBER) => {
                        format!("case when {name} between 0 and 1000 then {name} + 1 else 3 end")
                    }
                    1 | 2 if c.ty.is(TEXT) => format!("left({name}, 20) || 'q'"),
                    3 if !c.not_null => "default".into(),
                    _ => self.assigned(c),
                };
                format!("{name} = {value}")
            })
            .collect();
        set.join(", ")
    }

    fn predicate(&mut self, t: &Table) -> String {
        let key = t.key_columns();
        let comparable: Vec<&Column> = t.columns.iter().filter(|c| c.ty.is(KEY)).collect();
        match self.random.below(10) {
            0 | 1 => "true".into(),
            2 => {
                let column = self.random.pick(&t.columns);
                format!("{} is {}null", column.sql(), if self.random.percent(50) { "not " } else { "" })
            }
            3 if !comparable.is_empty() => {
                let column = (*self.random.pick(&comparable)).clone();
                format!(
                    "{} {} {}",
                    column.sql(),
                    self.random.pick(&["=", "<>"]),
                    column.ty.sql(&mut self.random, false)
                )
            }
            _ => {
                let Some(column) = key.first().or(comparable.first()).map(|c| (*c).clone()) else {
                    return "true".into();
                };
                let values: Vec<String> =
                    (0..1 + self.random.below(4)).map(|_| column.ty.sql(&mut self.random, false)).collect();
                format!("{} in ({})", column.sql(), values.join(", "))
            }
        }
    }

    fn update(&mut self, t: &Table, returning: bool) -> String {
        let returning = if returning && self.random.percent(15) { " returning *" } else { "" };
        // Moves rows between partitions.
        if let Some(p) = &t.partitions
            && self.random.percent(30)
            && let Some(c) = t.column(p.column)
        {
            let c = c.sql();
            let value = [format!("({c} + 1) % 8"), "3".into(), format!("7 - {c}")][self.random.below(3)].clone();
            let more = if self.random.percent(50) { format!(", {}", self.assignments(t)) } else { String::new() };
            return format!("update {} set {c} = {value}{more} where {}{returning}", t.sql(), self.predicate(t));
        }
        format!("update {} set {} where {}{returning}", self.target(t), self.assignments(t), self.predicate(t))
    }

    fn delete(&mut self, t: &Table, returning: bool) -> String {
        let returning = if returning && self.random.percent(15) { " returning *" } else { "" };
        format!("delete from {} where {}{returning}", self.target(t), self.predicate(t))
    }

    fn merge(&mut self, t: &Table) -> Step {
        let key = t.key_columns();
        let [first, ..] = key[..] else { return Step::new(self.update(t, true)) };
        let rows: Vec<String> =
            (0..1 + self.random.below(4)).map(|_| format!("({})", first.ty.sql(&mut self.random, false))).collect();
        let columns = self.insert_columns(t);
        let values: Vec<String> = columns
            .iter()
            .map(|c| if c.id == first.id { "s.k".into() } else { c.ty.sql(&mut self.random, !c.not_null) })
            .collect();
        let matched = match self.random.below(3) {
            0 => format!("when matched then update set {}", self.qualified_assignments(t)),
            1 => "when matched then delete".into(),
            _ => format!(
                "when matched and m.{} is null then delete when matched then update set {}",
                self.random.pick(&t.columns).sql(),
                self.qualified_assignments(t)
            ),
        };
        let inserted = if self.random.percent(70) {
            format!(" when not matched then insert ({}) values ({})", names(&columns), values.join(", "))
        } else {
            String::new()
        };
        Step::new(format!(
            "merge into {} as m using (select distinct v from (values {}) as v(v) order by v) as s(k) on m.{} = s.k {matched}{inserted}",
            t.sql(),
            rows.join(", "),
            first.sql()
        ))
    }

    fn qualified_assignments(&mut self, t: &Table) -> String {
        let payload = t.payload();
        let column = (*self.random.pick(&payload)).clone();
        format!("{} = {}", column.sql(), self.assigned(&column))
    }

    /// Several data-modifying parts in one statement.
    fn several(&mut self, table: usize) -> Step {
        let mut parts = vec![];
        for n in 0..2 + self.random.below(2) {
            let t = if n == 0 { table } else { self.random.below(self.model.tables.len()) };
            let t = self.model.tables[t].clone();
            let sql = match self.random.below(3) {
                0 => self.insert_sql(&t, false),
                1 => self.update(&t, false),
                _ => self.delete(&t, false),
            };
            parts.push(format!("w{n} as ({sql} returning 1)"));
        }
        let counts: Vec<String> = (0..parts.len()).map(|n| format!("(select count(*) from w{n})")).collect();
        Step::new(format!("with {} select {}", parts.join(", "), counts.join(", ")))
    }

    fn truncate(&mut self, t: &Table) -> Step {
        if let (Some(p), Some(capture)) = (&t.partitions, &t.capture)
            && !p.leaves.is_empty()
            && self.random.percent(40)
        {
            let step = Step::new(format!("truncate {}", self.random.pick(&p.leaves).0));
            return if t.tells_partitions() { step } else { step.resetting(&capture.aggregate_type) };
        }
        Step::new(format!("truncate {}{}", t.sql(), if self.random.percent(60) { " cascade" } else { "" }))
    }

    fn rekey(&mut self, t: &Table) -> Step {
        let key = t.key_columns();
        if key.is_empty() || t.by_discipline {
            return Step::new(self.update(t, true));
        }
        let column = (*self.random.pick(&key)).clone();
        let name = column.sql();
        let more = if self.random.percent(40) { format!(", {}", self.assignments(t)) } else { String::new() };
        if column.ty.is(NUMBER) && self.random.percent(60) {
            let by = self.random.pick(&["+ 1", "- 1", "+ 2", "+ 10"]);
            return Step::new(format!(
                "update {} set {name} = {name} {by}{more} where {name} between 0 and 1000",
                t.sql()
            ));
        }
        let value = column.ty.sql(&mut self.random, false);
        Step::new(format!("update {} set {name} = {value}{more} where {}", t.sql(), self.predicate(t)))
    }

    /// Several statements in one function, some of them taken back.
    fn block(&mut self, table: usize) -> Step {
        let t = self.model.tables[table].clone();
        let one = |g: &mut Generator| match g.random.below(4) {
            0 => g.insert_sql(&t, false),
            1 => g.delete(&t, false),
            _ => g.update(&t, false),
        };
        let undone = if self.random.percent(50) { "raise exception 'undo';" } else { "" };
        let parts = [one(self), one(self), one(self), one(self), one(self)];
        Step::new(format!(
            "do $do$ begin\n  {};\n  {};\n  begin\n    {};\n    {};\n    {undone}\n  exception when others then\n    null;\n  end;\n  {};\nend $do$",
            parts[0], parts[1], parts[2], parts[3], parts[4]
        ))
    }

    /// Enough rows for a batch.
    fn bulk(&mut self, t: &Table) -> Step {
        let numbers: Vec<&Column> =
            t.key_columns().into_iter().filter(|c| matches!(c.ty.name, "int" | "bigint" | "numeric")).collect();
        let [column] = numbers[..] else { return Step::new(self.update(t, true)) };
        if t.columns.iter().any(|c| c.not_null && c.id != column.id) {
            return Step::new(self.update(t, true));
        }
        let from = self.random.between(20, 60);
        Step::new(format!(
            "insert into {} ({}) select i from generate_series({from}, {}) as i on conflict do nothing",
            t.sql(),
            column.sql(),
            from + self.random.between(20, 70)
        ))
    }

    fn copy(&mut self, t: &Table) -> Step {
        let columns = self.insert_columns(t);
        let mut data = String::new();
        for _ in 0..1 + self.random.below(3) {
            let fields: Vec<String> = columns
                .iter()
                .map(|c| {
                    let null = !c.not_null && self.random.percent(15);
                    copy_field((!null).then(|| c.ty.text(&mut self.random)).as_deref())
                })
                .collect();
            data += &fields.join("\t");
            data.push('\n');
        }
        let mut step = Step::new(format!("copy {} ({}) from stdin", self.target(t), names(&columns)));
        step.copy = Some(data);
        step
    }
}

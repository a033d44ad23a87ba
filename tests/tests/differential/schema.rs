//! Random tables, triggers and captures.

use crate::{
    generator::Generator,
    model::{Capture, Column, Partitions, Table},
    step::Step,
    value::{KEY, NUMBER, TEXT, TYPES, Type, ident, quote},
};

/// Names that have broken somebody's trigger before.
const NAMES: &[&str] = &[
    "by",
    "select",
    "new",
    "old",
    "a\"b",
    "it's",
    "$value",
    "tg_op",
    "_id",
    "a b",
    "{x}",
    "%s",
    "\\",
    "Ünï",
    "begin",
    "loop",
    "_new_row",
    "x",
    "y",
    "n",
    "name",
    "null",
    "old_values",
    "id;--",
    "record",
    "$1",
    "strict",
    "event",
    "a.b",
    "CamelCase",
    "_op",
    "e",
    "i",
    "_data",
    "found",
    "sixty_three_bytes_________________________________________long",
    "data",
    "note",
    "z",
    "w",
];
const TABLES: &[&str] = &["users", "order", "T'a\"b", "Ünï täble", "%s", "a.b", "boxes", "t", "new", "$x"];
const TRIGGERS: &[&str] = &["AAA", "0", "!", "zzz", "  two blanks", " !", " zz", "~z", "_t", "m"];

impl Generator {
    fn random_type(&mut self, traits: u8) -> Type {
        loop {
            let ty = *self.random.pick(TYPES);
            if (traits == 0 || ty.is(traits)) && (self.version >= 14 || !ty.name.contains("multirange")) {
                return ty;
            }
        }
    }

    pub fn random_column(&mut self, table: &mut Table, traits: u8) -> Column {
        let name = loop {
            let name = *self.random.pick(NAMES);
            if table.columns.iter().all(|c| c.name != name) {
                break name.to_owned();
            }
        };
        table.next_id += 1;
        let mut ty = self.random_type(traits);
        // Half of all keys are what keys usually are, so that statements meet their rows.
        if traits == KEY && self.random.percent(50) {
            let usual = if self.random.percent(70) { "int" } else { "text" };
            ty = *TYPES.iter().find(|t| t.name == usual).expect("int and text");
        }
        Column { id: table.next_id, name, ty, generated: false, not_null: traits == KEY, pinned: false }
    }

    /// A table of the model, and the statements that make it.
    pub fn create_table(&mut self) {
        let name = loop {
            let name = *self.random.pick(TABLES);
            if self.model.tables.iter().all(|t| t.name != name) {
                break name.to_owned();
            }
        };
        let mut table = Table {
            schema: "public".into(),
            name,
            columns: vec![],
            next_id: 0,
            key: vec![],
            deferrable: false,
            by_discipline: false,
            partitions: None,
            capture: None,
        };
        let partitioned = self.has("partitions") && self.random.percent(25);
        let keys = if partitioned || self.random.percent(25) { 2 } else { 1 };
        for _ in 0..keys {
            let column = self.random_column(&mut table, KEY);
            table.key.push(column.id);
            table.columns.push(column);
        }
        for _ in 0..2 + self.random.below(6) {
            let column = self.random_column(&mut table, 0);
            table.columns.push(column);
        }
        // Something that expressions and triggers can work with.
        for traits in [NUMBER, TEXT] {
            let column = self.random_column(&mut table, traits);
            table.columns.push(column);
        }
        if partitioned {
            let region = table.columns[1].id;
            table.columns[1].ty = *TYPES.iter().find(|t| t.name == "int").expect("int");
            table.columns[1].pinned = true;
            table.partitions = Some(Partitions { column: region, leaves: vec![] });
        }
        let mut definitions: Vec<String> = table
            .columns
            .iter()
            .map(|c| format!("{} {}{}", c.sql(), c.ty.name, if c.not_null { " not null" } else { "" }))
            .collect();
        if self.random.percent(40)
            && let Some(base) = table.columns.iter_mut().rev().find(|c| c.ty.is(NUMBER | TEXT))
        {
            base.pinned = true;
            let (base, ty) = (base.sql(), base.ty);
            let expression = match ty.is(TEXT) {
                true => format!("left({base}, 20) || '!'"),
                false => format!("case when {base} between 0 and 1000 then {base} + 1 end"),
            };
            let mut column = self.random_column(&mut table, 0);
            column.ty = ty;
            column.generated = true;
            definitions.push(format!("{} {} generated always as ({expression}) stored", column.sql(), ty.name));
            table.columns.push(column);
        }
        let key = names(&table.key_columns());
        let mut suffix = String::new();
        match (partitioned, self.random.below(10)) {
            (true, _) => {
                definitions.push(format!("primary key ({key})"));
                let kind = ["list", "range"][self.random.below(2)];
                suffix = format!(" partition by {kind} ({})", table.columns[1].sql());
                self.partition_values(&mut table, kind);
            }
            (_, 0..=6) => definitions.push(format!("primary key ({key})")),
            (_, 7) => {
                definitions.push(format!(
                    "primary key ({key}) deferrable{}",
                    if self.random.percent(50) { " initially deferred" } else { "" }
                ));
                table.deferrable = true;
            }
            (_, 8) => definitions.push(format!("unique ({key})")),
            // No key at all: several rows may share a stream.
            _ => table.key.clear(),
        }
        self.step(Step::new(format!("create table {} (\n  {}\n){suffix}", table.sql(), definitions.join(",\n  "))));
        if let Some(partitions) = &table.partitions {
            for (leaf, bounds) in partitions.leaves.clone() {
                self.step(Step::new(format!("create table {leaf} partition of {} {}", table.sql(), bounds.join(" "))));
            }
        }
        self.model.tables.push(table);
    }

    fn partition_values(&mut self, table: &mut Table, kind: &str) {
        let base = ident(&format!("{}_p", table.name));
        let bounds: &[&str] = match kind {
            "list" => &["for values in (0, 1, 2)", "for values in (3, 4)", "default"],
            _ => &["for values from (minvalue) to (3)", "for values from (3) to (6)", "default"],
        };
        let Some(partitions) = &mut table.partitions else { return };
        for (n, bound) in bounds.iter().enumerate() {
            partitions.leaves.push((format!("public.{}{n}\"", &base[..base.len() - 1]), vec![(*bound).to_owned()]));
        }
    }

    /// A child table that refers to the last one.
    pub fn create_child(&mut self) {
        let Some(parent) = self.model.tables.last().cloned() else { return };
        if parent.key.len() != 1 || parent.deferrable || parent.partitions.is_some() {
            return;
        }
        let Some(key) = parent.column(parent.key[0]).cloned() else { return };
        let count = self.model.tables.len();
        self.create_table();
        let child = &self.model.tables[count];
        let action = [
            "on delete cascade on update cascade",
            "on delete set null on update cascade",
            "on delete cascade deferrable initially deferred",
        ][self.random.below(3)];
        let mut column = Column { not_null: false, pinned: true, ..key.clone() };
        column.name = "parent's".into();
        let statement = format!(
            "alter table {} add {} {} references {} ({}) {action}",
            child.sql(),
            column.sql(),
            key.ty.name,
            parent.sql(),
            key.sql()
        );
        let child = &mut self.model.tables[count];
        child.next_id += 1;
        column.id = child.next_id;
        child.columns.push(column);
        if let Some(c) = self.model.tables[count - 1].columns.iter_mut().find(|c| c.id == key.id) {
            c.pinned = true;
        }
        self.step(Step::new(statement));
    }

    /// User triggers on a table: SPEC 6, T7 and T8.
    pub fn create_trigger(&mut self, table: usize) {
        let t = self.model.tables[table].clone();
        let usable: Vec<Column> = t.payload().into_iter().filter(|c| c.ty.is(NUMBER | TEXT)).cloned().collect();
        if usable.is_empty() || t.key.is_empty() {
            return;
        }
        let column = self.random.pick(&usable).clone();
        for c in &mut self.model.tables[table].columns {
            c.pinned |= c.id == column.id || t.key.contains(&c.id);
        }
        self.triggers += 1;
        let names: Vec<&str> =
            TRIGGERS.iter().copied().filter(|n| self.has("early") || *n > " domain_events_capture").collect();
        let name = *self.random.pick(&names);
        let (function, name) = (format!("public.trigger_{}", self.triggers), ident(name));
        let (c, sql) = (column.sql(), t.sql());
        let value = column.ty.sql(&mut self.random, false);
        let same = t.key_columns().iter().map(|k| format!("{0} = new.{0}", k.sql())).collect::<Vec<_>>().join(" and ");
        // Comes to an end by itself: a deferred trigger is never deeper than one.
        let (bump, more) = match column.ty.is(TEXT) {
            true => (format!("coalesce({c}, '') || 'z'"), format!("({c} is null or length({c}) < 8)")),
            false => {
                (format!("case when {c} between 0 and 7 then {c} + 1 else 5 end"), format!("({c} is null or {c} <> 8)"))
            }
        };
        let kind = self.random.below(if self.has("t7b") { 8 } else { 5 });
        let guard = 1 + self.random.below(3);
        let (when, body) = match kind {
            0 => ("before insert or update", format!("new.{c} := coalesce(new.{c}, {value}); return new;")),
            1 => (
                "before insert or update or delete",
                format!(
                    "if tg_op = 'DELETE' then return old; elsif new.{c} = {value} then return null; end if; return new;"
                ),
            ),
            2 | 3 => (
                "after insert or update",
                format!(
                    "if pg_trigger_depth() <= {guard} then update {sql} set {c} = {bump} where {same} and {more}; end if; return null;"
                ),
            ),
            4 => (
                "after update",
                format!(
                    "if pg_trigger_depth() <= {guard} and new.{c} = {value} then delete from {sql} where {same}; end if; return null;"
                ),
            ),
            5 | 6 => (
                "after insert or update",
                format!(
                    "if pg_trigger_depth() <= {guard} then update {sql} set {c} = {bump} where not ({same}) and {more}; end if; return null;"
                ),
            ),
            _ => (
                "after update",
                format!(
                    "if pg_trigger_depth() <= {guard} and new.{c} = {value} then delete from {sql} where not ({same}); end if; return null;"
                ),
            ),
        };
        self.step(Step::new(format!(
            "create function {function}() returns trigger language plpgsql as $$#variable_conflict use_column\nbegin {body} end$$"
        )));
        let constraint = kind >= 2 && t.partitions.is_none() && self.random.percent(25);
        let deferred = if self.random.percent(50) { " initially deferred" } else { "" };
        self.step(Step::new(match constraint {
            true => format!("create constraint trigger {name} {when} on {sql} deferrable{deferred} for each row execute function {function}()"),
            false => format!("create trigger {name} {when} on {sql} for each row execute function {function}()"),
        }));
    }

    /// Capture of a table with random options.
    pub fn enable_capture(&mut self, table: usize, strict: bool) {
        let t = self.model.tables[table].clone();
        let mut arguments = vec![quote(&t.sql())];
        let ids: Vec<u32> = t.columns.iter().map(|c| c.id).collect();
        // A type of its own each time: the model tells streams apart by it.
        self.captures += 1;
        let aggregate_type = format!("{}{}", *self.random.pick(&["Thing", "User Order", "it's", "Ünï"]), self.captures);
        arguments.push(format!("aggregate_type => {}", quote(&aggregate_type)));
        let mut id = t.key.clone();
        if t.key.is_empty() || t.key.iter().any(|k| t.column(*k).is_none()) || self.random.percent(10) {
            id = self.random.some(&ids, 25);
            id.retain(|id| {
                t.column(*id).is_some_and(|c| c.ty.is(KEY) && (c.not_null || (id % 4 == 0 && self.has("nullid"))))
            });
            if id.is_empty() {
                id = vec![t.columns[0].id];
            }
        }
        let is_primary = id == t.key;
        if !is_primary || self.random.percent(60) {
            arguments.push(format!("aggregate_id => {}", list(&t, &id)));
        }
        let others: Vec<u32> = ids.iter().copied().filter(|i| !id.contains(i)).collect();
        let (mut include, mut exclude) = (None, vec![]);
        match self.random.below(5) {
            0 => {
                let chosen = self.random.some(&ids, 70);
                arguments.push(format!("include => {}", list(&t, &chosen)));
                include = Some(chosen);
            }
            1 => {
                let from = if self.random.percent(50) { &ids } else { &others };
                exclude = self.random.some(from, 30);
                arguments.push(format!("exclude => {}", list(&t, &exclude)));
            }
            _ => {}
        }
        let mut redact = vec![];
        if self.random.percent(25) {
            redact = self.random.some(&others, 25);
            redact.retain(|r| !exclude.contains(r) && include.as_ref().is_none_or(|i| i.contains(r)));
            arguments.push(format!("redact => {}", list(&t, &redact)));
        }
        if self.random.percent(30) {
            let changed = self.random.pick(&t.columns).name.clone();
            let on = ["insert", "delete"][self.random.below(2)];
            let json = serde_json::json!([
                {"on": "update", "when_changed": [changed], "type": "SpecialChanged", "name": "a 'label'"},
                {"on": on, "type": "Other%s"},
            ]);
            arguments.push(format!("event_types => {}::jsonb", quote(&json.to_string())));
        }
        for (option, choices) in [
            ("event_name_style", ["pascal", "dotted"]),
            ("payload", ["changes", "full"]),
            ("on_failure", ["dead_letter", "abort"]),
            ("baseline", ["lazy", "now"]),
            ("replication", ["origin", "always"]),
        ] {
            if self.random.percent(35) {
                arguments.push(format!("{option} => '{}'", self.random.pick(&choices)));
            }
        }
        let statement = Step::new(format!("select domain_events.enable_capture({})", arguments.join(", ")))
            .resetting(&aggregate_type);
        self.model.tables[table].capture = Some(Capture { aggregate_type, id, include, exclude, redact, strict });
        self.step(statement);
    }
}

/// `"a", "b"`
pub fn names(columns: &[&Column]) -> String {
    columns.iter().map(|c| c.sql()).collect::<Vec<_>>().join(", ")
}

fn list(table: &Table, ids: &[u32]) -> String {
    let names: Vec<String> = ids.iter().filter_map(|id| table.column(*id)).map(|c| quote(&c.name)).collect();
    format!("array[{}]::text[]", names.join(", "))
}

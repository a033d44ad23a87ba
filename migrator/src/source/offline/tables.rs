//! Tables, views, their columns and keys, from CREATE and ALTER.

use serde_json::Value;

use super::super::types::{self, deparse};
use super::super::{Column, Key, Relation};
use super::fold::{Fold, names};
use crate::sql_tree::ast::{self, list, node, text};
use domain_events_sql::quote::quoted;

/// Whether it is a table that a statement made.
fn is_table(relation: &Relation) -> bool {
    matches!(relation.kind.as_str(), "r" | "p") && !relation.assumed
}

impl Fold {
    pub(super) fn table(&mut self, create: &Value) {
        let Some(at) = create.get("relation") else { return };
        let temporary = text(at, "relpersistence") == "t";
        let exists = self.find(at).is_some() && create.get("if_not_exists") == Some(&Value::Bool(true));
        if temporary || exists {
            return;
        }
        let kind = if create.get("partspec").is_some_and(Value::is_object) { "p" } else { "r" };
        let mut relation = self.new_relation(at, kind);
        let by = create.get("partspec").map(|p| list(p, "part_params")).unwrap_or_default();
        relation.partition_columns = by
            .iter()
            .filter_map(|p| node(p, "PartitionElem"))
            .map(|p| text(p, "name").to_owned())
            .filter(|n| !n.is_empty())
            .collect();
        let partition = create.get("partbound").is_some_and(Value::is_object);
        for parent in list(create, "inh_relations").iter().filter_map(|p| node(p, "RangeVar")) {
            let Some(parent) = self.relation(parent) else { continue };
            for column in &parent.columns {
                if relation.column(&column.name).is_none() {
                    relation.columns.push(column.clone());
                }
            }
            // a child by INHERITS has no key of its parent's
            if partition {
                (relation.root, relation.is_partition) = (parent.root, true);
                relation.keys = parent.keys.clone();
            }
        }
        for element in list(create, "table_elts") {
            if let Some(column) = node(element, "ColumnDef") {
                self.column(&mut relation, column);
            } else if let Some(constraint) = node(element, "Constraint") {
                self.constraint(&mut relation, constraint, None);
            } else if let Some(like) = node(element, "TableLikeClause").and_then(|l| l.get("relation")) {
                let columns = self.relation(like).map(|r| r.columns.clone()).unwrap_or_default();
                relation.columns.extend(columns);
            }
        }
        if let Some(known) = self.catalogue.relations.iter_mut().find(|r| r.quoted == relation.quoted && is_table(r)) {
            // the server refuses it: what is there stays, and its triggers. Another file may tell more of its columns
            let new = relation.columns.into_iter().filter(|c| known.columns.iter().all(|k| k.name != c.name));
            known.columns.extend(new.collect::<Vec<_>>());
            return;
        }
        self.add(relation);
    }

    fn new_relation(&mut self, at: &Value, kind: &str) -> Relation {
        let schema = self.schema(text(at, "schemaname"));
        let name = text(at, "relname").to_owned();
        let oid = self.oid();
        if text(at, "schemaname").is_empty() && !self.path_is_set {
            self.unplaced.insert(oid);
        }
        Relation {
            oid,
            quoted: format!("{}.{}", quoted(&schema), quoted(&name)),
            schema,
            name,
            kind: kind.into(),
            root: oid,
            ..Relation::default()
        }
    }

    fn add(&mut self, relation: Relation) {
        if let Some(old) = self.catalogue.relations.iter().find(|r| r.quoted == relation.quoted).map(|r| r.oid) {
            self.forget(old);
        }
        self.catalogue.relations.push(relation);
    }

    pub(super) fn last_made(&mut self, base: Option<&Value>, kind: &str) {
        if let Some(relation) = base.and_then(|b| b.get("relation")).and_then(|r| self.relation(r)) {
            relation.kind = kind.into();
        }
    }

    /// A view's columns have names; their types would take a server to know.
    pub(super) fn view(&mut self, at: Option<&Value>, aliases: &[Value], query: Option<&Value>, kind: &str) {
        let Some(at) = at else { return };
        let mut relation = self.new_relation(at, kind);
        let select = query.and_then(|q| node(q, "SelectStmt"));
        let from: Vec<u32> = select
            .map(|s| list(s, "from_clause"))
            .unwrap_or_default()
            .iter()
            .flat_map(|f| ast::find(f, "RangeVar"))
            .filter_map(|r| self.find(r))
            .collect();
        let sources: Vec<Relation> = from.iter().filter_map(|oid| self.catalogue.relation(*oid)).cloned().collect();
        let source = |name: &str| sources.iter().find_map(|r| r.column(name));
        let plain = |column: Option<&Column>, name: &str| Column {
            name: name.to_owned(),
            data_type: column.map(|c| c.data_type.clone()).unwrap_or_default(),
            category: column.map_or("U".into(), |c| c.category.clone()),
            base: column.and_then(|c| c.base.clone()),
            ..Column::default()
        };
        for target in select.map(|s| list(s, "target_list")).unwrap_or_default() {
            let Some(target) = node(target, "ResTarget") else { continue };
            let column = target.get("val").and_then(ast::column);
            match column.as_deref() {
                Some([.., last]) if last == "*" => {
                    for column in sources.iter().flat_map(|r| &r.columns) {
                        // of one name there is one: views that join themselves would have twice as many each time
                        if relation.column(&column.name).is_none() {
                            relation.columns.push(plain(Some(column), &column.name));
                        }
                    }
                }
                Some([.., last]) => {
                    let name = Some(text(target, "name")).filter(|n| !n.is_empty()).unwrap_or(last);
                    relation.columns.push(plain(source(last), name));
                }
                _ => relation.columns.push(plain(None, text(target, "name"))),
            }
        }
        for (column, name) in relation.columns.iter_mut().zip(names(aliases)) {
            column.name = name;
        }
        self.add(relation);
    }

    fn column(&self, relation: &mut Relation, definition: &Value) {
        let name = text(definition, "colname").to_owned();
        let of = self.types.of(definition.get("type_name"));
        let default = of.serial.then(|| format!("nextval('{}_{name}_seq'::regclass)", relation.name));
        let column = Column {
            name: name.clone(),
            data_type: of.name,
            category: of.category,
            base: of.base,
            not_null: of.serial,
            default,
            ..Column::default()
        };
        // CREATE TABLE child (the parent's column again) INHERITS (parent)
        match relation.columns.iter_mut().find(|c| c.name == name) {
            Some(known) => *known = column,
            None => relation.columns.push(column),
        }
        for constraint in list(definition, "constraints").iter().filter_map(|c| node(c, "Constraint")) {
            self.constraint(relation, constraint, Some(&name));
        }
    }

    fn constraint(&self, relation: &mut Relation, constraint: &Value, column: Option<&str>) {
        let kind = constraint.get("contype").and_then(Value::as_i64).unwrap_or(0);
        let mut keys = names(list(constraint, "keys"));
        keys.extend(column.filter(|_| keys.is_empty()).map(str::to_owned));
        let own = column.and_then(|c| relation.columns.iter_mut().find(|k| k.name == c));
        match (kind, own) {
            (types::NOTNULL, Some(own)) => own.not_null = true,
            (types::DEFAULT, Some(own)) => own.default = constraint.get("raw_expr").and_then(deparse),
            (types::IDENTITY, Some(own)) => {
                own.identity = text(constraint, "generated_when").to_owned();
                own.not_null = true;
            }
            (types::GENERATED, Some(own)) => own.generated = "s".into(),
            (types::PRIMARY | types::UNIQUE, _) => {
                let primary = kind == types::PRIMARY;
                if primary {
                    relation.columns.iter_mut().filter(|c| keys.contains(&c.name)).for_each(|c| c.not_null = true);
                }
                let name = text(constraint, "conname");
                let made = || match primary {
                    true => format!("{}_pkey", relation.name),
                    false => format!("{}_{}_key", relation.name, keys.join("_")),
                };
                let name = if name.is_empty() { made() } else { name.to_owned() };
                let index = text(constraint, "indexname");
                if let Some(known) = relation.keys.iter_mut().find(|k| !index.is_empty() && k.name == index) {
                    // ADD CONSTRAINT .. USING INDEX renames it
                    (known.primary, known.name) = (primary, name);
                } else if constraint.get("deferrable") != Some(&Value::Bool(true)) {
                    relation.keys.push(Key { name, primary, columns: keys });
                }
            }
            (types::FOREIGN, _) => {
                keys.extend(names(list(constraint, "fk_attrs")));
                relation.columns.iter_mut().filter(|c| keys.contains(&c.name)).for_each(|c| c.references = true);
            }
            _ => {}
        }
    }

    pub(super) fn alter(&mut self, alter: &Value) -> Result<(), String> {
        let Some(target) = alter.get("relation") else { return Ok(()) };
        let Some(oid) = self.find(target) else {
            let name = text(target, "relname");
            let table = alter.get("objtype").and_then(Value::as_i64) == Some(types::OBJECT_TABLE)
                && alter.get("missing_ok") != Some(&Value::Bool(true))
                && !self.sequences.iter().any(|s| s == name)
                && text(target, "schemaname") != "domain_events";
            return if table { Err(format!("table {name} is not known")) } else { Ok(()) };
        };
        for command in list(alter, "cmds").iter().filter_map(|c| node(c, "AlterTableCmd")) {
            self.alter_command(oid, command);
        }
        Ok(())
    }

    fn alter_command(&mut self, oid: u32, command: &Value) {
        let Some(at) = self.catalogue.relations.iter().position(|r| r.oid == oid) else { return };
        let mut relation = self.catalogue.relations[at].clone();
        let (name, def) = (text(command, "name"), command.get("def"));
        let column = |relation: &mut Relation, change: &dyn Fn(&mut Column)| {
            relation.columns.iter_mut().filter(|c| c.name == name).for_each(change);
        };
        let subtype = command.get("subtype").and_then(Value::as_i64).unwrap_or(0);
        match subtype {
            types::ADD_COLUMN => {
                let known = def.and_then(|d| node(d, "ColumnDef"));
                let missing_ok = command.get("missing_ok") == Some(&Value::Bool(true));
                if let Some(new) = known.filter(|c| !missing_ok || relation.column(text(c, "colname")).is_none()) {
                    self.column(&mut relation, new);
                }
            }
            types::ADD_CONSTRAINT => {
                if let Some(constraint) = def.and_then(|d| node(d, "Constraint")) {
                    self.constraint(&mut relation, constraint, None);
                }
            }
            types::COLUMN_DEFAULT => {
                let default = def.and_then(deparse);
                column(&mut relation, &|c| c.default = default.clone());
            }
            types::COLUMN_TYPE => {
                let of = self.types.of(def.and_then(|d| node(d, "ColumnDef")).and_then(|d| d.get("type_name")));
                column(&mut relation, &|c| {
                    (c.data_type, c.category, c.base) = (of.name.clone(), of.category.clone(), of.base.clone());
                });
            }
            types::SET_NOT_NULL => column(&mut relation, &|c| c.not_null = true),
            types::DROP_NOT_NULL => column(&mut relation, &|c| c.not_null = false),
            types::ADD_IDENTITY => {
                let when = def.and_then(|d| node(d, "Constraint")).map(|c| text(c, "generated_when").to_owned());
                column(&mut relation, &|c| c.identity = when.clone().unwrap_or_default());
            }
            types::DROP_IDENTITY => column(&mut relation, &|c| c.identity = String::new()),
            types::DROP_EXPRESSION => column(&mut relation, &|c| c.generated = String::new()),
            types::DROP_COLUMN => {
                relation.columns.retain(|c| c.name != name);
                relation.keys.retain(|k| !k.columns.iter().any(|c| c == name));
            }
            types::DROP_CONSTRAINT => relation.keys.retain(|k| k.name != name),
            types::ATTACH_PARTITION | types::DETACH_PARTITION => {
                let child = def.and_then(|d| node(d, "PartitionCmd")).and_then(|c| c.get("name")).cloned();
                let attach = subtype == types::ATTACH_PARTITION;
                let (root, keys) = (relation.root, relation.keys.clone());
                let child = child.and_then(|c| self.find(&c));
                for part in self.catalogue.relations.iter_mut().filter(|r| Some(r.oid) == child) {
                    (part.is_partition, part.root) = if attach { (true, root) } else { (false, part.oid) };
                    if attach {
                        part.keys.extend(keys.iter().filter(|k| !part.keys.contains(k)).cloned().collect::<Vec<_>>());
                    }
                }
                return;
            }
            types::ENABLE_TRIGGER..=types::DISABLE_TRIGGER_USER => {
                let state = match subtype {
                    types::ENABLE_ALWAYS => "A",
                    types::ENABLE_REPLICA => "R",
                    types::DISABLE_TRIGGER | types::DISABLE_TRIGGER_ALL | types::DISABLE_TRIGGER_USER => "D",
                    _ => "O",
                };
                let mine = self.catalogue.triggers.iter_mut().filter(|t| t.relation == oid);
                mine.filter(|t| name.is_empty() || t.name == name).for_each(|t| t.enabled = state.into());
            }
            _ => {}
        }
        self.catalogue.relations[at] = relation;
    }

    pub(super) fn index(&mut self, index: &Value) {
        let is = |field: &str| index.get(field).and_then(Value::as_bool).unwrap_or(false);
        if !is("unique") || index.get("where_clause").is_some_and(Value::is_object) {
            return;
        }
        let elements = list(index, "index_params").iter().filter_map(|p| node(p, "IndexElem"));
        let columns: Vec<String> = elements.map(|e| text(e, "name").to_owned()).collect();
        let name = text(index, "idxname").to_owned();
        // an expression has no name
        if columns.iter().all(|c| !c.is_empty())
            && let Some(relation) = index.get("relation").and_then(|r| self.relation(r))
            && !relation.keys.iter().any(|k| k.name == name)
        {
            relation.keys.push(Key { name, primary: false, columns });
        }
    }

    pub(super) fn rename(&mut self, rename: &Value) {
        let (old, new) = (text(rename, "subname"), text(rename, "newname").to_owned());
        let kind = rename.get("rename_type").and_then(Value::as_i64);
        if kind == Some(types::OBJECT_FUNCTION) || kind == Some(types::OBJECT_PROCEDURE) {
            self.rename_function(rename.get("object"), &new);
            return;
        }
        let Some(oid) = rename.get("relation").and_then(|r| self.find(r)) else { return };
        let own = self.catalogue.triggers.iter_mut().filter(|t| t.relation == oid);
        if kind == Some(types::OBJECT_TRIGGER) {
            own.filter(|t| t.name == old).for_each(|t| t.name.clone_from(&new));
            return;
        }
        let Some(relation) = self.catalogue.relations.iter_mut().find(|r| r.oid == oid) else { return };
        match kind {
            Some(types::OBJECT_COLUMN) => {
                relation.columns.iter_mut().filter(|c| c.name == old).for_each(|c| c.name.clone_from(&new));
                let in_keys = relation.keys.iter_mut().flat_map(|k| &mut k.columns);
                in_keys.filter(|c| *c == old).for_each(|c| c.clone_from(&new));
                own.flat_map(|t| &mut t.columns).filter(|c| *c == old).for_each(|c| c.clone_from(&new));
            }
            Some(types::OBJECT_CONSTRAINT) => {
                relation.keys.iter_mut().filter(|k| k.name == old).for_each(|k| k.name.clone_from(&new));
            }
            Some(types::OBJECT_TABLE | types::OBJECT_VIEW | types::OBJECT_MATVIEW) => {
                relation.name = new;
                relation.quoted = format!("{}.{}", quoted(&relation.schema), quoted(&relation.name));
            }
            _ => {}
        }
    }

    pub(super) fn set_schema(&mut self, alter: &Value) {
        let new = text(alter, "newschema").to_owned();
        if let Some(relation) = alter.get("relation").and_then(|r| self.relation(r)) {
            relation.schema = new;
            relation.quoted = format!("{}.{}", quoted(&relation.schema), quoted(&relation.name));
        }
    }
}

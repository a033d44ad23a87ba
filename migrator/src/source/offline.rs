//! Reading SQL files instead of a server: a `pg_dump -s`, or migrations folded in order. What a file does not hold (OIDs,
//! row counts, privileges) stays empty; one broken statement is reported and does not stop the rest.

use serde_json::Value;

use super::types;
use super::{Catalogue, Column, Function, Key, Relation, Rule, Trigger};
use crate::judge::ast::{self, list, node, text};

/// A statement that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Line of the statement in it.
    pub line: usize,
    /// Why.
    pub reason: String,
}

/// Folds files, in the order given, into a catalogue.
pub fn from_sql<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Catalogue, Vec<Problem>) {
    let catalogue = Catalogue { search_path: vec!["public".into()], ..Catalogue::default() };
    let mut fold = Fold { catalogue, next: 1, enums: vec![] };
    let mut problems = vec![];
    for (file, whole) in files {
        let statements = pg_query::split_with_scanner(whole).unwrap_or_else(|_| vec![whole]);
        for statement in statements {
            // the statement is a slice of the file
            let offset = (statement.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
            let lead = statement.len() - statement.trim_start().len();
            let line = whole.get(..offset + lead).map_or(1, |before| before.matches('\n').count() + 1);
            let read = ast::parse(statement)
                .and_then(|trees| trees.iter().try_for_each(|tree| fold.statement(tree, statement.trim())));
            if let Err(reason) = read {
                problems.push(Problem { file: file.to_owned(), line, reason });
            }
        }
    }
    (fold.catalogue, problems)
}

/// Folds statements into a catalogue that is there already, up to the first that cannot be read.
pub fn fold_into(catalogue: &mut Catalogue, sql: &str) -> Result<(), String> {
    let ids = catalogue.relations.iter().map(|r| r.oid);
    let ids = ids.chain(catalogue.functions.iter().map(|f| f.oid)).chain(catalogue.triggers.iter().map(|t| t.oid));
    let next = ids.max().unwrap_or(1);
    let mut fold = Fold { catalogue: std::mem::take(catalogue), next, enums: vec![] };
    let folded = pg_query::split_with_scanner(sql).map_err(|e| e.to_string()).and_then(|statements| {
        statements.into_iter().try_for_each(|statement| {
            ast::parse(statement)?.iter().try_for_each(|tree| fold.statement(tree, statement.trim()))
        })
    });
    *catalogue = fold.catalogue;
    folded
}

struct Fold {
    catalogue: Catalogue,
    next: u32,
    enums: Vec<String>,
}

impl Fold {
    fn oid(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn schema(&self, given: &str) -> String {
        if given.is_empty() {
            self.catalogue.search_path.first().cloned().unwrap_or_else(|| "public".into())
        } else {
            given.to_owned()
        }
    }

    fn statement(&mut self, tree: &Value, whole: &str) -> Result<(), String> {
        match ast::kind(tree) {
            "CreateStmt" => self.table(inner(tree)),
            "AlterTableStmt" => self.alter(inner(tree)),
            "IndexStmt" => self.index(inner(tree)),
            "CreateFunctionStmt" => self.function(inner(tree), whole),
            "CreateTrigStmt" => self.trigger(inner(tree), whole),
            "RuleStmt" => self.rule(inner(tree), whole),
            "CommentStmt" => self.comment(inner(tree)),
            "DropStmt" => self.drop(inner(tree)),
            "CreateEnumStmt" => self.enums.extend(names(list(inner(tree), "type_name")).pop()),
            "VariableSetStmt" if text(inner(tree), "name") == "search_path" => {
                self.catalogue.search_path =
                    list(inner(tree), "args").iter().filter_map(ast::string_constant).collect();
            }
            _ => {}
        }
        Ok(())
    }

    fn relation(&mut self, range: &Value) -> Option<&mut Relation> {
        let (schema, name) = (text(range, "schemaname"), text(range, "relname"));
        let oid = self.catalogue.resolve_relation(schema, name, &self.catalogue.search_path)?.oid;
        self.catalogue.relations.iter_mut().find(|r| r.oid == oid)
    }

    fn table(&mut self, create: &Value) {
        let Some(range) = create.get("relation") else { return };
        let schema = self.schema(text(range, "schemaname"));
        let name = text(range, "relname").to_owned();
        let oid = self.oid();
        let kind = if create.get("partspec").is_some_and(Value::is_object) { "p" } else { "r" };
        let parent = list(create, "inh_relations").first().and_then(|p| node(p, "RangeVar"));
        let parent = parent.and_then(|p| self.relation(p)).map(|p| (p.root, p.columns.clone(), p.keys.clone()));
        let mut relation = Relation {
            oid,
            quoted: format!("{}.{}", types::quoted(&schema), types::quoted(&name)),
            schema,
            name,
            kind: kind.into(),
            root: oid,
            ..Relation::default()
        };
        if let Some((root, columns, keys)) = parent {
            (relation.root, relation.is_partition, relation.columns, relation.keys) = (root, true, columns, keys);
        }
        for element in list(create, "table_elts") {
            if let Some(column) = node(element, "ColumnDef") {
                self.column(&mut relation, column);
            } else if let Some(constraint) = node(element, "Constraint") {
                self.constraint(&mut relation, constraint, None);
            }
        }
        self.catalogue.relations.retain(|r| r.quoted != relation.quoted);
        self.catalogue.relations.push(relation);
    }

    fn column(&self, relation: &mut Relation, definition: &Value) {
        let name = text(definition, "colname").to_owned();
        let (data_type, category, serial) = types::of(definition.get("type_name"), &self.enums);
        let default = serial.then(|| format!("nextval('{}_{name}_seq'::regclass)", relation.name));
        relation.columns.push(Column {
            name: name.clone(),
            data_type,
            category,
            not_null: serial,
            default,
            ..Column::default()
        });
        for constraint in list(definition, "constraints").iter().filter_map(|c| node(c, "Constraint")) {
            self.constraint(relation, constraint, Some(&name));
        }
    }

    fn constraint(&self, relation: &mut Relation, constraint: &Value, column: Option<&str>) {
        let kind = constraint.get("contype").and_then(Value::as_i64).unwrap_or(0);
        let mut keys: Vec<String> = list(constraint, "keys")
            .iter()
            .filter_map(|k| node(k, "String"))
            .map(|s| text(s, "sval").to_owned())
            .collect();
        keys.extend(column.filter(|_| keys.is_empty()).map(str::to_owned));
        let own = column.and_then(|c| relation.columns.iter_mut().find(|k| k.name == c));
        match (kind, own) {
            (types::NOTNULL, Some(own)) => own.not_null = true,
            (types::DEFAULT, Some(own)) => own.default = constraint.get("raw_expr").and_then(types::deparse),
            (types::IDENTITY, Some(own)) => own.identity = text(constraint, "generated_when").to_owned(),
            (types::GENERATED, Some(own)) => own.generated = "s".into(),
            (types::PRIMARY | types::UNIQUE, _) => {
                let name = text(constraint, "conname");
                let made = || format!("{}_{}_key", relation.name, keys.join("_"));
                let name = if name.is_empty() { made() } else { name.to_owned() };
                relation.keys.push(Key { name, primary: kind == types::PRIMARY, columns: keys });
            }
            (types::FOREIGN, _) => {
                let named = list(constraint, "fk_attrs")
                    .iter()
                    .filter_map(|k| node(k, "String"))
                    .map(|s| text(s, "sval").to_owned());
                keys.extend(named);
                relation.columns.iter_mut().filter(|c| keys.contains(&c.name)).for_each(|c| c.references = true);
            }
            _ => {}
        }
    }

    fn alter(&mut self, alter: &Value) {
        let Some(oid) = alter.get("relation").and_then(|r| self.relation(r)).map(|r| r.oid) else { return };
        let Some(at) = self.catalogue.relations.iter().position(|r| r.oid == oid) else { return };
        for command in list(alter, "cmds").iter().filter_map(|c| node(c, "AlterTableCmd")) {
            let mut relation = self.catalogue.relations[at].clone();
            let name = text(command, "name");
            let def = command.get("def");
            if let Some(constraint) = def.and_then(|d| node(d, "Constraint")) {
                self.constraint(&mut relation, constraint, None);
            } else if let Some(column) =
                def.and_then(|d| node(d, "ColumnDef")).filter(|c| !text(c, "colname").is_empty())
            {
                self.column(&mut relation, column);
            }
            let state = match command.get("subtype").and_then(Value::as_i64) {
                Some(types::COLUMN_DEFAULT) => {
                    let default = def.and_then(types::deparse);
                    relation.columns.iter_mut().filter(|c| c.name == name).for_each(|c| c.default = default.clone());
                    None
                }
                Some(types::DROP_COLUMN) => {
                    relation.columns.retain(|c| c.name != name);
                    None
                }
                Some(types::DROP_CONSTRAINT) => {
                    relation.keys.retain(|k| k.name != name);
                    None
                }
                Some(types::ENABLE_TRIGGER) => Some("O"),
                Some(types::DISABLE_TRIGGER) => Some("D"),
                _ => None,
            };
            if let Some(state) = state {
                let mine = self.catalogue.triggers.iter_mut().filter(|t| t.relation == oid && t.name == name);
                mine.for_each(|t| t.enabled = state.into());
            }
            self.catalogue.relations[at] = relation;
        }
    }

    fn index(&mut self, index: &Value) {
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
        {
            relation.keys.push(Key { name, primary: false, columns });
        }
    }

    fn function(&mut self, create: &Value, whole: &str) {
        let mut name = names(list(create, "funcname"));
        let (Some(function), schema) = (name.pop(), name.pop().unwrap_or_default()) else { return };
        let schema = self.schema(&schema);
        let mut made = Function {
            oid: self.oid(),
            definition: whole.to_owned(),
            language: "sql".into(),
            volatility: "v".into(),
            ..Function::default()
        };
        let mut argument_types = vec![];
        for parameter in list(create, "parameters").iter().filter_map(|p| node(p, "FunctionParameter")) {
            // FUNC_PARAM_OUT and FUNC_PARAM_TABLE are no arguments of a call
            if !matches!(parameter.get("mode").and_then(Value::as_i64), Some(2 | 5)) {
                made.arguments.push(text(parameter, "name").to_owned());
                argument_types.push(types::of(parameter.get("arg_type"), &self.enums).0);
            }
        }
        let returns = create.get("return_type").map(|t| names(list(t, "names"))).and_then(|mut n| n.pop());
        made.is_trigger = returns.as_deref() == Some("trigger");
        for option in list(create, "options").iter().filter_map(|o| node(o, "DefElem")) {
            let Some(arg) = option.get("arg") else { continue };
            let word = || node(arg, "String").map(|s| text(s, "sval").to_owned()).unwrap_or_default();
            match text(option, "defname") {
                "language" => made.language = word().to_lowercase(),
                "as" => {
                    let items = node(arg, "List").map(|l| list(l, "items")).unwrap_or_default();
                    made.source = items
                        .first()
                        .and_then(|i| node(i, "String"))
                        .map(|s| text(s, "sval").to_owned())
                        .unwrap_or_default();
                }
                "security" => {
                    made.security_definer =
                        node(arg, "Boolean").is_some_and(|b| b.get("boolval") == Some(&Value::Bool(true)))
                }
                "volatility" => made.volatility = word().chars().next().map(String::from).unwrap_or_default(),
                "set" => {
                    if let Some(set) = node(arg, "VariableSetStmt").filter(|s| text(s, "name") == "search_path") {
                        made.search_path = Some(list(set, "args").iter().filter_map(ast::string_constant).collect());
                    }
                }
                _ => {}
            }
        }
        made.identity =
            format!("{}.{}({})", types::quoted(&schema), types::quoted(&function), argument_types.join(", "));
        (made.schema, made.name) = (schema, function);
        // a later version of the same function takes the place of the earlier, and keeps its triggers
        match self.catalogue.functions.iter_mut().find(|f| f.identity == made.identity) {
            Some(known) => *known = Function { oid: known.oid, ..made },
            None => self.catalogue.functions.push(made),
        }
    }

    fn trigger(&mut self, create: &Value, whole: &str) {
        let oid = self.oid();
        let Some(relation) = create.get("relation").and_then(|r| self.relation(r)).map(|r| r.oid) else { return };
        let mut name = names(list(create, "funcname"));
        let (Some(function), schema) = (name.pop(), name.pop().unwrap_or_default()) else { return };
        let function =
            self.catalogue.resolve_function(&schema, &function, 0, &self.catalogue.search_path).map(|f| f.oid);
        let events = create.get("events").and_then(Value::as_i64).unwrap_or(0);
        let operations = [(4, "INSERT"), (16, "UPDATE"), (8, "DELETE"), (32, "TRUNCATE")];
        let trigger = Trigger {
            oid,
            name: text(create, "trigname").to_owned(),
            relation,
            function: function.unwrap_or(0),
            enabled: "O".into(),
            timing: match create.get("timing").and_then(Value::as_i64) {
                Some(2) => "BEFORE",
                Some(64) => "INSTEAD OF",
                _ => "AFTER",
            }
            .into(),
            events: operations.into_iter().filter(|(bit, _)| events & bit != 0).map(|(_, o)| o.to_owned()).collect(),
            row: create.get("row").and_then(Value::as_bool).unwrap_or(false),
            columns: names(list(create, "columns")),
            conditional: create.get("when_clause").is_some_and(Value::is_object),
            arguments: names(list(create, "args")),
            definition: whole.to_owned(),
            ..Trigger::default()
        };
        self.catalogue.triggers.retain(|t| t.relation != relation || t.name != trigger.name);
        self.catalogue.triggers.push(trigger);
    }

    fn rule(&mut self, create: &Value, whole: &str) {
        if let Some(relation) = create.get("relation").and_then(|r| self.relation(r)).map(|r| r.oid) {
            let rule = Rule { name: text(create, "rulename").to_owned(), relation, definition: whole.to_owned() };
            self.catalogue.rules.push(rule);
        }
    }

    fn comment(&mut self, comment: &Value) {
        let Some(object) = comment.get("object").and_then(|o| node(o, "List")) else { return };
        let mut name = names(list(object, "items"));
        let said = Some(text(comment, "comment").to_owned());
        let column = match comment.get("objtype").and_then(Value::as_i64) {
            Some(types::OBJECT_COLUMN) => name.pop(),
            Some(types::OBJECT_TABLE) => None,
            _ => return,
        };
        let (Some(table), schema) = (name.pop(), name.pop().unwrap_or_default()) else { return };
        let range = serde_json::json!({"schemaname": schema, "relname": table});
        let Some(relation) = self.relation(&range) else { return };
        match column {
            Some(column) => {
                relation.columns.iter_mut().filter(|c| c.name == column).for_each(|c| c.comment = said.clone())
            }
            None => relation.comment = said,
        }
    }

    fn drop(&mut self, drop: &Value) {
        let kind = drop.get("remove_type").and_then(Value::as_i64);
        for object in list(drop, "objects") {
            let items = node(object, "List").map(|l| list(l, "items")).unwrap_or_default();
            let mut name = if items.is_empty() {
                node(object, "ObjectWithArgs").map(|o| names(list(o, "objname"))).unwrap_or_default()
            } else {
                names(items)
            };
            let Some(last) = name.pop() else { continue };
            match kind {
                Some(types::OBJECT_TABLE) => self.catalogue.relations.retain(|r| r.name != last),
                Some(types::OBJECT_FUNCTION) => self.catalogue.functions.retain(|f| f.name != last),
                Some(types::OBJECT_TRIGGER) => {
                    let table = name.pop().unwrap_or_default();
                    let on: Vec<u32> =
                        self.catalogue.relations.iter().filter(|r| r.name == table).map(|r| r.oid).collect();
                    self.catalogue.triggers.retain(|t| t.name != last || !on.contains(&t.relation));
                }
                _ => {}
            }
        }
    }
}

fn inner(tree: &Value) -> &Value {
    node(tree, ast::kind(tree)).unwrap_or(tree)
}

fn names(nodes: &[Value]) -> Vec<String> {
    nodes.iter().filter_map(|n| node(n, "String")).map(|s| text(s, "sval").to_owned()).collect()
}

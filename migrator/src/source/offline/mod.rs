//! Reading SQL files instead of a server: a `pg_dump -s`, or migrations folded in order. What a file does not hold (row
//! counts, who uses what) stays empty and is said to be missing; one broken statement is reported and does not stop the rest.

mod given;
mod include;
mod later;
mod placeholders;
mod quotes;
mod routines;
mod split;
mod stream;
mod tables;
pub(crate) mod undo;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::PathBuf;

use later::Later;
use placeholders::Sure;
use quotes::Quotes;
use serde_json::Value;
use stream::{Found, Stream};

pub use include::without_included;
pub(crate) use split::Statements;

use super::encoding;
use super::languages::Given;
use super::types::{self, Types};
use super::{Catalogue, Function, Relation};
use crate::error::Error;
use crate::files::Input;
use crate::mysql::source::Dialect;
use crate::sql_tree::ast::{self, list, node, text};
use crate::sql_tree::newer;

/// After so many statements that cannot be read a file is something else.
const UNREAD: usize = 5_000;

/// What no file tells, in words.
pub const MISSING: [&str; 5] = [
    "which tables the event store serves already",
    "which roles write the event tables, apart from grants",
    "functions of the server and of extensions",
    "settings of roles and sessions, the search_path among them",
    "rows: whether versions collide already is what `domain-events repair` finds on the server",
];

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
    let mut fold = Fold::new();
    let mut problems = vec![];
    for (file, whole) in files {
        fold.begin_session();
        fold.text(file, whole, &mut problems);
    }
    fold.settle(&mut problems);
    (fold.finished(), problems)
}

/// A file that is read.
#[derive(Debug)]
pub enum Taken {
    /// One of SQL, of any size.
    Sql(Input),
    /// One in another language: its name, and what it gives.
    Given(String, Vec<Given>),
}

/// Folds files, one after the other.
pub fn from_files(files: impl IntoIterator<Item = Taken>) -> Result<(Catalogue, Vec<Problem>), Error> {
    let mut fold = Fold::new();
    let mut problems = vec![];
    for file in files {
        fold.begin_session();
        match file {
            Taken::Sql(input) => {
                let name = input.name.clone();
                fold.file(&name, input, &mut problems).map_err(|e| Error::io(name, e))?;
            }
            Taken::Given(name, given) => fold.given(&name, &given, &mut problems),
        }
    }
    fold.settle(&mut problems);
    Ok((fold.finished(), problems))
}

/// Folds statements into a catalogue that is there already; the first that cannot be read is the error.
pub fn fold_into(catalogue: &mut Catalogue, sql: &str) -> Result<(), String> {
    let ids = catalogue.relations.iter().map(|r| r.oid);
    let ids = ids.chain(catalogue.functions.iter().map(|f| f.oid)).chain(catalogue.triggers.iter().map(|t| t.oid));
    let next = ids.max().unwrap_or(1);
    let path = catalogue.search_path.clone();
    let catalogue_so_far = std::mem::take(catalogue);
    let mut fold = Fold { catalogue: catalogue_so_far, path, next, ..Fold::new() };
    let mut problems = vec![];
    fold.text("", sql, &mut problems);
    let unknown = fold.unknown_table();
    *catalogue = fold.catalogue;
    problems.into_iter().next().map(|problem| problem.reason).or(unknown).map_or(Ok(()), Err)
}

/// Whether a statement does nothing but insert rows.
fn inserts(text: &str) -> bool {
    text.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("insert"))
}

/// A catalogue in the making.
struct Fold {
    catalogue: Catalogue,
    /// Where unqualified names are made and looked for now.
    path: Vec<String>,
    /// The same at the beginning of a session.
    first_path: Vec<String>,
    next: u32,
    types: Types,
    /// Tables that were made without a schema where no file said which that is.
    unplaced: BTreeSet<u32>,
    /// ALTER TABLE may name a sequence too.
    sequences: Vec<String>,
    /// Functions that a query of the files calls.
    called: BTreeSet<String>,
    /// What names a table that may come later.
    later: Vec<Later>,
    /// Functions that went with their schema.
    gone: Vec<Function>,
    /// Variables of psql.
    variables: HashMap<String, String>,
    /// Files that a command of psql has read.
    included: BTreeSet<PathBuf>,
    /// How many of them are open.
    depth: usize,
    /// The file that is read now.
    file: String,
}

impl Fold {
    fn new() -> Self {
        Self {
            catalogue: Catalogue { search_path: vec!["public".into()], ..Catalogue::default() },
            path: vec!["public".into()],
            first_path: vec!["public".into()],
            next: 1,
            types: Types::default(),
            unplaced: BTreeSet::new(),
            sequences: vec![],
            called: BTreeSet::new(),
            later: vec![],
            gone: vec![],
            variables: HashMap::new(),
            included: BTreeSet::new(),
            depth: 0,
            file: String::new(),
        }
    }

    /// Tools run each file in a session of its own: what one sets is not in force in the next.
    fn begin_session(&mut self) {
        self.path.clone_from(&self.first_path);
    }

    fn text(&mut self, file: &str, whole: &str, problems: &mut Vec<Problem>) {
        // memory that is read cannot fail
        let _ = self.file(file, whole.as_bytes(), problems);
    }

    fn file(&mut self, file: &str, reader: impl Read, problems: &mut Vec<Problem>) -> std::io::Result<()> {
        let known = problems.len();
        let outer = std::mem::replace(&mut self.file, file.to_owned());
        let mut quotes = Quotes::default();
        let mut reader = encoding::Reader::new(reader)?;
        let mut head = vec![];
        reader.by_ref().take(undo::SMALL as u64).read_to_end(&mut head)?;
        if head.len() < undo::SMALL {
            let text = String::from_utf8_lossy(&head);
            let (forward, doubt) = undo::forward(&text, Dialect::Postgres);
            if let Some(doubt) = doubt {
                self.catalogue.statements += 1;
                problems.push(Problem { file: file.to_owned(), line: doubt.line, reason: doubt.to_string() });
            }
            if let Cow::Owned(forward) = forward {
                head = forward.into_bytes();
            }
        }
        Stream::new(head.as_slice().chain(reader)).each(|found, line| {
            let mut problem = |reason: &str, text: &str| {
                // a name that another statement has too would tell less than the statement's own words
                let shown: String = text.split_whitespace().take(6).collect::<Vec<_>>().join(" ");
                let shown: String = shown.chars().take(80).collect();
                problems.push(Problem { file: file.to_owned(), line, reason: format!("{reason}: {shown} ..") });
            };
            self.catalogue.statements += usize::from(!matches!(found, Found::Command(_)));
            if let Found::Statement(text) | Found::Broken(text, _) = found {
                quotes.look_at(text, line);
            }
            let taken = match found {
                Found::Command(text) => {
                    self.command(file, text, line, problems);
                    stream::Taken::Read
                }
                Found::Runs(text) => {
                    problem("it makes statements at run time, by \\gexec: read the live database instead", text);
                    stream::Taken::Read
                }
                // rows that are inserted change nothing of what is asked, and are most of many a dump
                Found::Statement(text) | Found::TooLong(text, _) if inserts(text) => stream::Taken::Read,
                Found::TooLong(text, why) | Found::Broken(text, why) => {
                    problem(&why, text);
                    quotes.unread(problems.len() - 1, text);
                    if why == split::OPEN_QUOTE {
                        quotes.has_no_end();
                    }
                    stream::Taken::Read
                }
                Found::Statement(text) => match self.statements(text) {
                    Ok(reasons) => {
                        for reason in reasons {
                            problem(&reason, text);
                        }
                        stream::Taken::Read
                    }
                    Err(reason) => {
                        problem(&reason, text);
                        quotes.unread(problems.len() - 1, text);
                        stream::Taken::Unread
                    }
                },
            };
            if problems.len() - known > UNREAD {
                let reason = format!("more than {UNREAD} statements cannot be read: the rest of the file is not read");
                problems.push(Problem { file: file.to_owned(), line, reason });
                return stream::Taken::Enough;
            }
            taken
        })?;
        self.catalogue.statements -= quotes.told_once(problems);
        self.file = outer;
        Ok(())
    }

    /// As the server would give it: its order, and without the store's own objects.
    fn finished(self) -> Catalogue {
        let mut all = self.catalogue;
        let store = "domain_events";
        let own: Vec<u32> = all.relations.iter().filter(|r| r.schema == store).map(|r| r.oid).collect();
        all.relations.retain(|r| r.schema != store);
        all.functions.retain(|f| f.schema != store);
        all.triggers.retain(|t| !own.contains(&t.relation));
        all.relations.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        all.functions.sort_by(|a, b| (&a.schema, &a.name, a.oid).cmp(&(&b.schema, &b.name, b.oid)));
        let places: std::collections::HashMap<u32, usize> =
            all.relations.iter().enumerate().map(|(n, r)| (r.oid, n)).collect();
        let place = |oid: u32| places.get(&oid).copied().unwrap_or(usize::MAX);
        all.triggers.sort_by(|a, b| (place(a.relation), &a.name).cmp(&(place(b.relation), &b.name)));
        all.rules.sort_by(|a, b| (place(a.relation), &a.name).cmp(&(place(b.relation), &b.name)));
        for relation in &mut all.relations {
            relation.keys.sort_by(|a, b| a.name.cmp(&b.name));
        }
        all
    }

    fn oid(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn schema(&self, given: &str) -> String {
        let first = || self.path.first().cloned().unwrap_or_else(|| "public".into());
        if given.is_empty() { first() } else { given.to_owned() }
    }

    /// Folds what a text holds, in most cases one statement; gives what could not be used. An error when it cannot be read.
    fn statements(&mut self, text: &str) -> Result<Vec<String>, String> {
        let certain = placeholders::filled(text, Sure::Certain, &self.variables);
        let text = certain.as_deref().unwrap_or(text);
        let (trees, said) = match ast::parse(text) {
            Ok(trees) => (trees, None),
            Err(reason) => match newer::in_known_words(text) {
                Some(said) => (ast::parse(&said.text).map_err(|_| reason)?, Some(said)),
                None => {
                    let likely = placeholders::filled(text, Sure::Likely, &self.variables);
                    let known = likely.as_ref().and_then(|t| ast::parse(t).ok());
                    let (Some(likely), Some(_)) = (likely, known) else {
                        return Err(other_server(text).unwrap_or(reason));
                    };
                    return self.statements(&likely);
                }
            },
        };
        let mut reasons = vec![];
        for tree in &trees {
            reasons.extend(self.statement(tree, text).err());
            let Some(said) = &said else { continue };
            let made = inner(tree).get("base_stmt").unwrap_or(inner(tree));
            let Some(relation) = made.get("relation").and_then(|r| self.relation(r)) else { continue };
            for column in &mut relation.columns {
                column.not_null |= said.not_null.contains(&column.name);
                if said.virtual_columns.contains(&column.name) {
                    column.generated = "v".into();
                }
            }
        }
        Ok(reasons)
    }

    fn statement(&mut self, tree: &Value, whole: &str) -> Result<(), String> {
        let node = inner(tree);
        match ast::kind(tree) {
            "CreateStmt" => self.table(node),
            "CreateForeignTableStmt" => {
                node.get("base_stmt").into_iter().for_each(|base| self.table(base));
                self.last_made(node.get("base_stmt"), "f");
            }
            "ViewStmt" => self.view(node.get("view"), list(node, "aliases"), node.get("query"), "v"),
            "CreateTableAsStmt" => {
                let into = node.get("into");
                let kind =
                    if node.get("objtype").and_then(Value::as_i64) == Some(types::OBJECT_MATVIEW) { "m" } else { "r" };
                self.view(into.and_then(|i| i.get("rel")), &[], node.get("query"), kind);
            }
            "SelectStmt" => {
                self.set_config(node);
                self.called.extend(ast::calls(tree).into_iter().map(|(_, name, _)| name));
            }
            "AlterTableStmt" | "IndexStmt" | "RuleStmt" if self.is_for_later(node) => self.put_off(tree, whole),
            "AlterTableStmt" => self.alter(node)?,
            "CreateSeqStmt" => {
                let name = node.get("sequence").map(|s| text(s, "relname").to_owned());
                self.sequences.extend(name);
            }
            "IndexStmt" => self.index(node),
            "CreateFunctionStmt" => self.function(node, whole),
            "AlterFunctionStmt" => self.alter_function(node),
            "CreateTrigStmt" if self.is_for_later(node) => self.put_off(tree, whole),
            "CreateTrigStmt" => self.trigger(node, whole)?,
            "RuleStmt" => self.rule(node, whole),
            "CommentStmt" => self.comment(node),
            "RenameStmt" => self.rename(node),
            "AlterObjectSchemaStmt" => self.set_schema(node),
            "DropStmt" => {
                let made = self.made_at_run_time(node);
                self.drop(node);
                made.map_or(Ok(()), Err)?;
            }
            "CreateEnumStmt" => self.new_type(list(node, "type_name"), "E", None),
            "CreateDomainStmt" => {
                let base = node.get("type_name").map(|t| self.types.of(Some(t)));
                let base = base.map(|b| (b.base.unwrap_or(b.name), b.category));
                let category = base.as_ref().map_or("U".to_owned(), |(_, c)| c.clone());
                self.new_type(list(node, "domainname"), &category, base.map(|(name, _)| name));
            }
            "CompositeTypeStmt" => {
                let range = node.get("typevar").cloned().unwrap_or_default();
                let name = text(&range, "relname").to_owned();
                let schema = self.schema(text(&range, "schemaname"));
                self.types.add(schema, name, "C", None);
            }
            "CreateRangeStmt" => self.new_type(list(node, "type_name"), "R", None),
            "VariableSetStmt" if text(node, "name") == "search_path" => self.set_path(node, false),
            "VariableSetStmt" if node.get("kind").and_then(Value::as_i64) == Some(types::RESET_ALL) => {
                self.begin_session();
            }
            "DiscardStmt" if node.get("target").and_then(Value::as_i64).unwrap_or(0) == types::DISCARD_ALL => {
                self.begin_session();
            }
            "AlterDatabaseSetStmt" | "AlterRoleSetStmt" => {
                let set = node.get("setstmt").filter(|s| text(s, "name") == "search_path").cloned();
                set.iter().for_each(|s| self.set_path(s, true));
            }
            "DoStmt" => self.block(node)?,
            _ => {}
        }
        Ok(())
    }

    fn new_type(&mut self, name: &[Value], category: &str, base: Option<String>) {
        let mut name = names(name);
        let (Some(last), schema) = (name.pop(), name.pop().unwrap_or_default()) else { return };
        let schema = self.schema(&schema);
        self.types.add(schema, last, category, base);
    }

    /// A session's path says where things are made; functions are looked up in any schema that was ever on it.
    fn set_path(&mut self, set: &Value, lasting: bool) {
        let kind = set.get("kind").and_then(Value::as_i64);
        if !lasting && matches!(kind, Some(types::SET_TO_DEFAULT | types::RESET)) {
            return self.begin_session();
        }
        let path: Vec<String> = list(set, "args")
            .iter()
            .filter_map(ast::string_constant)
            .filter(|s| !s.is_empty() && s != "$user")
            .collect();
        if path.is_empty() {
            return;
        }
        if lasting {
            self.catalogue.search_path = path;
            return;
        }
        let known = &mut self.catalogue.search_path;
        known.extend(path.iter().filter(|s| *s != "pg_catalog" && !known.contains(s)).cloned().collect::<Vec<_>>());
        self.path = path;
    }

    /// DO: what it would make if every condition held.
    fn block(&mut self, node: &Value) -> Result<(), String> {
        let option = |name: &str| {
            let options = list(node, "args").iter().filter_map(|o| ast::node(o, "DefElem"));
            options.filter(|o| text(o, "defname") == name).find_map(|o| ast::node(o.get("arg")?, "String"))
        };
        let Some(source) = option("as").map(|s| text(s, "sval").to_owned()) else { return Ok(()) };
        let block = routines::statements_of_block(&source)?;
        for statement in block.statements {
            if let Some(reason) = self.statements(&statement).unwrap_or_default().into_iter().next() {
                return Err(reason);
            }
        }
        block.unseen.map_or(Ok(()), Err)
    }

    /// `select set_config('search_path', 'app', false)`.
    fn set_config(&mut self, select: &Value) {
        for (_, name, arguments) in list(select, "target_list").iter().flat_map(ast::calls).collect::<Vec<_>>() {
            let given: Vec<String> = arguments.iter().filter_map(ast::string_constant).collect();
            if let ("set_config", [setting, path]) = (name.as_str(), given.as_slice())
                && setting == "search_path"
                && !path.is_empty()
            {
                self.path = path.split(',').map(|s| s.trim().trim_matches('"').to_owned()).collect();
            }
        }
    }

    fn relation(&mut self, range: &Value) -> Option<&mut Relation> {
        let oid = self.find(range)?;
        self.catalogue.relations.iter_mut().find(|r| r.oid == oid)
    }

    fn find(&self, range: &Value) -> Option<u32> {
        let (schema, name) = (text(range, "schemaname"), text(range, "relname"));
        let by = |path: &[String]| self.catalogue.resolve_relation(schema, name, path).map(|r| r.oid);
        by(&self.path).or_else(|| by(&self.catalogue.search_path))
    }

    fn comment(&mut self, comment: &Value) {
        if let Some(function) = comment.get("object").and_then(|o| node(o, "ObjectWithArgs")) {
            return self.comment_on_function(function, text(comment, "comment"));
        }
        let Some(object) = comment.get("object").and_then(|o| node(o, "List")) else { return };
        let mut name = names(list(object, "items"));
        let said = Some(text(comment, "comment").to_owned()).filter(|s| !s.is_empty());
        let column = match comment.get("objtype").and_then(Value::as_i64) {
            Some(types::OBJECT_COLUMN) => name.pop(),
            Some(types::OBJECT_TABLE) => None,
            _ => return,
        };
        let (Some(table), schema) = (name.pop(), name.pop().unwrap_or_default()) else { return };
        let Some(relation) = self.relation(&range(&schema, &table)) else { return };
        match column {
            Some(column) => {
                relation.columns.iter_mut().filter(|c| c.name == column).for_each(|c| c.comment = said.clone())
            }
            None => relation.comment = said,
        }
    }

    /// What a function made that the files call and then drop: triggers that nothing else tells of.
    fn made_at_run_time(&self, drop: &Value) -> Option<String> {
        let kind = drop.get("remove_type").and_then(Value::as_i64);
        if !matches!(kind, Some(types::OBJECT_FUNCTION | types::OBJECT_PROCEDURE | types::OBJECT_ROUTINE)) {
            return None;
        }
        let dropped = list(drop, "objects").iter().filter_map(|o| node(o, "ObjectWithArgs"));
        let dropped = dropped.filter_map(|o| names(list(o, "objname")).pop()).filter(|n| self.called.contains(n));
        let makes = |name: &String| {
            self.catalogue.functions.iter().filter(|f| f.name == *name).any(|f| {
                let text = f.source.to_lowercase();
                ["execute", "create", "trigger"].iter().all(|word| text.contains(word))
            })
        };
        dropped.into_iter().find(makes).map(|name| {
            format!("{name}() was called, made triggers at run time and is gone: read the live database instead")
        })
    }

    fn drop(&mut self, drop: &Value) {
        let kind = drop.get("remove_type").and_then(Value::as_i64);
        for object in list(drop, "objects") {
            let items = node(object, "List").map(|l| list(l, "items")).unwrap_or_default();
            let with_args = node(object, "ObjectWithArgs");
            let type_name = node(object, "TypeName").map(|t| names(list(t, "names")));
            let plain = node(object, "String").map(|s| vec![text(s, "sval").to_owned()]);
            let mut name =
                with_args.map(|o| names(list(o, "objname"))).or(type_name).or(plain).unwrap_or_else(|| names(items));
            let Some(last) = name.pop() else { continue };
            match kind {
                Some(
                    types::OBJECT_TABLE | types::OBJECT_VIEW | types::OBJECT_MATVIEW | types::OBJECT_FOREIGN_TABLE,
                ) => {
                    if let Some(oid) = self.find(&range(&name.pop().unwrap_or_default(), &last)) {
                        self.dropped(oid);
                    }
                }
                Some(types::OBJECT_FUNCTION | types::OBJECT_PROCEDURE | types::OBJECT_ROUTINE) => {
                    let gone = self.drop_function(&name.pop().unwrap_or_default(), &last, with_args);
                    // it takes its triggers along
                    if drop.get("behavior").and_then(Value::as_i64) == Some(types::DROP_CASCADE) {
                        self.catalogue.triggers.retain(|t| Some(t.function) != gone);
                    }
                }
                Some(types::OBJECT_TRIGGER | types::OBJECT_RULE) => {
                    let (table, schema) = (name.pop().unwrap_or_default(), name.pop().unwrap_or_default());
                    self.drop_later(&last, &table);
                    let Some(on) = self.find(&range(&schema, &table)) else { continue };
                    if kind == Some(types::OBJECT_TRIGGER) {
                        self.catalogue.triggers.retain(|t| t.name != last || t.relation != on);
                    } else {
                        self.catalogue.rules.retain(|r| r.name != last || r.relation != on);
                    }
                }
                Some(types::OBJECT_SCHEMA) => {
                    let gone: Vec<u32> =
                        self.catalogue.relations.iter().filter(|r| r.schema == last).map(|r| r.oid).collect();
                    gone.into_iter().for_each(|oid| self.dropped(oid));
                    let (kept, gone) =
                        std::mem::take(&mut self.catalogue.functions).into_iter().partition(|f| f.schema != last);
                    self.catalogue.functions = kept;
                    self.gone.extend::<Vec<Function>>(gone);
                }
                _ => {}
            }
        }
    }

    /// A relation that is dropped; whoever writes it all the same is told by whom.
    fn dropped(&mut self, oid: u32) {
        let name = self.catalogue.relation(oid).map(|r| r.quoted.clone());
        self.catalogue.dropped.extend(name.map(|name| (name, self.file.clone())));
        self.forget(oid);
    }

    /// A relation that is gone takes its triggers, rules and partitions along.
    fn forget(&mut self, oid: u32) {
        self.catalogue.relations.retain(|r| r.oid != oid && !(r.is_partition && r.root == oid));
        self.catalogue.triggers.retain(|t| t.relation != oid);
        self.catalogue.rules.retain(|r| r.relation != oid);
    }
}

/// Whose program it is, where that is seen.
fn other_server(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let program = lower.starts_with("create")
        && ["trigger", "procedure", "function", "package"].iter().any(|w| lower.contains(w));
    let has = |signs: &[&str]| signs.iter().any(|s| lower.contains(s));
    if lower.starts_with("<?php") {
        Some("this is PHP: name the file .php".into())
    } else if !program {
        None
    } else if has(&[":new.", ":old.", "varchar2", "referencing new as", "sysdate", " is\n", "%type"]) && !has(&["$$"]) {
        Some("this is a program of Oracle's, which is not read: read the PostgreSQL database that it goes to".into())
    } else if has(&["inserted", "@@rowcount", "declare @", "nvarchar", "[dbo]"]) {
        Some("this is a program of SQL Server's, which is not read".into())
    } else if has(&["for each row"]) && !has(&["execute function", "execute procedure"]) {
        Some("this is a program of MySQL's, or of another server's: --dialect mysql reads MySQL's".into())
    } else {
        None
    }
}

fn range(schema: &str, name: &str) -> Value {
    serde_json::json!({"schemaname": schema, "relname": name})
}

fn inner(tree: &Value) -> &Value {
    node(tree, ast::kind(tree)).unwrap_or(tree)
}

fn names(nodes: &[Value]) -> Vec<String> {
    nodes.iter().filter_map(|n| node(n, "String")).map(|s| text(s, "sval").to_owned()).collect()
}

//! What each statement makes, changes and drops.

use serde_json::Value;

use super::super::types;
use super::block;
use super::fold::{Fold, inner, names, range};
use super::state::{Runs, is_off};
use crate::catalogue::Function;
use crate::sql_tree::ast::{self, list, node, text};

impl Fold {
    pub(super) fn statement(&mut self, tree: &Value, whole: &str) -> Result<(), String> {
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
            "VariableSetStmt" => self.setting(node),
            "DiscardStmt" if node.get("target").and_then(Value::as_i64).unwrap_or(0) == types::DISCARD_ALL => {
                self.reset_settings();
            }
            "AlterDatabaseSetStmt" | "AlterRoleSetStmt" => {
                let set = node.get("setstmt").filter(|s| text(s, "name") == "search_path").cloned();
                set.iter().for_each(|s| self.set_path(s, true));
                // that of a role is in force for this role alone, and no file says whose sessions these are
                if set.is_some() && ast::kind(tree) == "AlterDatabaseSetStmt" {
                    self.first_path.clone_from(&self.catalogue.search_path);
                }
            }
            "TransactionStmt" => self.transaction(node),
            "DoStmt" => self.block(node)?,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn new_type(&mut self, name: &[Value], category: &str, base: Option<String>) {
        let mut name = names(name);
        let (Some(last), schema) = (name.pop(), name.pop().unwrap_or_default()) else { return };
        let schema = self.schema(&schema);
        self.types.add(schema, last, category, base);
    }

    fn setting(&mut self, set: &Value) {
        let kind = set.get("kind").and_then(Value::as_i64);
        match text(set, "name") {
            "search_path" => self.set_path(set, false),
            "standard_conforming_strings" => {
                let given = list(set, "args").first().and_then(ast::string_constant).unwrap_or_default();
                self.escapes = is_off(&given);
            }
            _ if kind == Some(types::RESET_ALL) => self.reset_settings(),
            _ => {}
        }
    }

    /// DO: what it would make if every condition held that is no constant.
    pub(super) fn block(&mut self, node: &Value) -> Result<(), String> {
        let option = |name: &str| {
            let options = list(node, "args").iter().filter_map(|o| ast::node(o, "DefElem"));
            options.filter(|o| text(o, "defname") == name).find_map(|o| ast::node(o.get("arg")?, "String"))
        };
        let Some(source) = option("as").map(|s| text(s, "sval").to_owned()) else { return Ok(()) };
        let block = block::read(&source)?;
        for step in block.steps {
            let reasons = match step.runs {
                Runs::Not => continue,
                Runs::Perhaps => self.perhaps("the DO block may not come to it, or undo it", &step.sql),
                Runs::Surely => self.statements(&step.sql),
            };
            if let Some(reason) = reasons.unwrap_or_default().into_iter().next() {
                return Err(reason);
            }
        }
        block.unseen.map_or(Ok(()), Err)
    }

    pub(super) fn comment(&mut self, comment: &Value) {
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
    pub(super) fn made_at_run_time(&self, drop: &Value) -> Option<String> {
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

    pub(super) fn drop(&mut self, drop: &Value) {
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
                    if let Some(oid) = self.find_to_drop(&range(&name.pop().unwrap_or_default(), &last)) {
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
                    let Some(on) = self.find_to_drop(&range(&schema, &table)) else { continue };
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
}

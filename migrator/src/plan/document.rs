//! The text of a plan file: what a person reads and decides comes first.

use std::fmt::Write;

use super::{Brought, EventTable, Object, Plan, Port, Statement, Step};
use crate::adopt::Legacy;
use crate::text::is_unsafe;

/// The file's text.
pub fn text(plan: &Plan) -> String {
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = document(&mut out, plan);
    out
}

fn document(out: &mut String, plan: &Plan) -> std::fmt::Result {
    writeln!(out, "# A plan of domain-events {} for database \"{}\".", plan.tool, comment(&plan.database))?;
    out.push_str(
        "#
# Review it, then:    domain-events apply FILE --dry-run
#                     domain-events apply FILE
#                     domain-events verify FILE
# To take it back:    domain-events rollback PLAN-ID
#
# You may decide: `strategy` of each [[port]], `stream`, `sole_writer`, `unused_elsewhere` and `adopt` of each [[event_table]],
# and the mapping of each [[adoption]].
# After that, run     domain-events plan --revise FILE --out FILE
# which makes the SQL below anew. Do not edit anything else: apply and verify refuse the file then.

",
    );
    writeln!(out, "format = {}", plan.format)?;
    field(out, "plan_id", &plan.plan_id)?;
    field(out, "tool", &plan.tool)?;
    field(out, "database", &plan.database)?;
    out.push_str("# digests of the decisions, and of everything else, in this file\n");
    field(out, "decisions", &plan.decisions)?;
    field(out, "content", &plan.content)?;
    if !plan.treat.is_empty() {
        let answers = plan.treat.iter().map(|(table, treat)| format!("{} = \"{}\"", quoted(table), treat.name()));
        out.push_str("# the answers of --treat: whether the rows of a table are events\n");
        writeln!(out, "treat = {{ {} }}", answers.collect::<Vec<_>>().join(", "))?;
    }
    if !plan.event_tables.is_empty() {
        heading(out, "The legacy event tables");
    }
    for table in &plan.event_tables {
        event_table(out, table)?;
    }
    if !plan.ports.is_empty() {
        heading(out, "What is ported: one entry per statement that writes an event");
    }
    for one in &plan.ports {
        port(out, one)?;
    }
    if !plan.translated.is_empty() {
        heading(out, "What was translated: what it does otherwise than before, and what the application has to set");
    }
    for one in &plan.translated {
        translated(out, one)?;
    }
    if !plan.adoptions.is_empty() {
        heading(
            out,
            "The event tables whose rows move into the store, under traffic, after their step was carried out",
        );
    }
    for one in &plan.adoptions {
        adoption(out, one)?;
    }
    if !plan.steps.is_empty() {
        heading(
            out,
            "What apply runs. Each step takes its locks first, in this order, and is carried out whole or not at all",
        );
    }
    for one in &plan.steps {
        step(out, one)?;
    }
    if !plan.finish.is_empty() {
        heading(out, "What `apply --finish` drops once the plan is applied");
    }
    for one in &plan.finish {
        statement(out, "finish", one)?;
    }
    if !plan.clear.is_empty() {
        heading(out, "What `apply --finish` drops once the plan is rolled back");
    }
    for one in &plan.clear {
        statement(out, "clear", one)?;
    }
    if !plan.objects.is_empty() {
        heading(
            out,
            "What the plan relies on or replaces, as it is before. apply refuses with exit code 4 if any of it has changed",
        );
    }
    for one in &plan.objects {
        object(out, one)?;
    }
    Ok(())
}

fn heading(out: &mut String, text: &str) {
    let line = "-".repeat(100);
    out.push_str(&format!("\n# {line}\n# {text}.\n# {line}\n"));
}

fn event_table(out: &mut String, table: &EventTable) -> std::fmt::Result {
    out.push_str("\n[[event_table]]\n");
    field(out, "table", &table.table)?;
    optional(out, "version_column", table.version_column.as_deref())?;
    list(out, "other_users", &table.other_users)?;
    out.push_str(
        "# decision: the columns that name a stream: the version counts 1, 2, 3 .. for each of their values\n",
    );
    let names: Vec<String> = table.stream.iter().map(|c| quoted(c)).collect();
    writeln!(out, "stream = [{}]", names.join(", "))?;
    out.push_str(
        "# decision: nothing but the functions ported here inserts into it (strategy \"rewrite\" needs that)\n",
    );
    writeln!(out, "sole_writer = {}", table.sole_writer)?;
    out.push_str(
        "# decision: nothing else reads or writes it (strategy \"capture\" needs that: it gets no new rows)\n",
    );
    writeln!(out, "unused_elsewhere = {}", table.unused_elsewhere)?;
    out.push_str("# decision: its events move into the store, and its name becomes a view with the same columns\n");
    writeln!(out, "adopt = {}", table.adopt)
}

/// An adopted table: what becomes of its columns, and the columns as they are.
fn adoption(out: &mut String, legacy: &Legacy) -> std::fmt::Result {
    out.push_str("\n[[adoption]]\n");
    field(out, "schema", &legacy.schema)?;
    field(out, "name", &legacy.name)?;
    out.push_str("# the legacy table's name from then on: it keeps the columns that the store lacks\n");
    field(out, "side", &legacy.side)?;
    field(out, "owner", &legacy.owner)?;
    list(out, "key", &legacy.key)?;
    list(out, "only_in_store", &legacy.only_in_store)?;
    out.push_str("# decision: which column becomes what in the store; what is not named here stays with the legacy columns alone\n");
    out.push_str("[adoption.mapping]\n");
    members(out, &serde_json::to_value(&legacy.mapping).map_err(|_| std::fmt::Error)?)?;
    for column in &legacy.columns {
        out.push_str("[[adoption.columns]]\n");
        members(out, &serde_json::to_value(column).map_err(|_| std::fmt::Error)?)?;
    }
    Ok(())
}

/// The members of an object of texts, lists of texts and flags; what is null is left out.
fn members(out: &mut String, object: &serde_json::Value) -> std::fmt::Result {
    use serde_json::Value;
    for (key, value) in object.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => field(out, key, text)?,
            Value::Bool(flag) => writeln!(out, "{key} = {flag}")?,
            Value::Array(items) => {
                let texts: Vec<String> = items.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                list(out, key, &texts)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn port(out: &mut String, port: &Port) -> std::fmt::Result {
    out.push_str("\n[[port]]\n");
    field(out, "code", &port.code)?;
    optional(out, "trigger", port.trigger.as_deref())?;
    optional(out, "table", port.table.as_deref())?;
    optional(out, "function", port.function.as_deref())?;
    if let Some(line) = port.line {
        writeln!(out, "line = {line}")?;
    }
    optional(out, "event_table", port.event_table.as_deref())?;
    optional(out, "event_type", port.event_type.as_deref())?;
    field(out, "version_source", port.version_source.name())?;
    let names: Vec<String> = port.allowed.iter().map(|s| s.name().to_owned()).collect();
    list(out, "reasons", &port.reasons)?;
    writeln!(out, "# decision: one of {}", names.join(", "))?;
    field(out, "strategy", port.strategy.name())?;
    list(out, "allowed", &names)?;
    list(out, "declared_differences", &port.declared_differences)?;
    list(out, "not_compared", &port.not_compared)
}

fn translated(out: &mut String, brought: &Brought) -> std::fmt::Result {
    out.push_str("\n[[translated]]\n");
    field(out, "kind", &brought.kind)?;
    field(out, "name", &brought.name)?;
    optional(out, "file", brought.file.as_deref())?;
    if let Some(line) = brought.line {
        writeln!(out, "line = {line}")?;
    }
    list(out, "declared", &brought.declared)?;
    if !brought.refused.is_empty() {
        out.push_str("# not created: a person has to write it\n");
        list(out, "refused", &brought.refused)?;
    }
    if !brought.settings.is_empty() {
        out.push_str("# the application has to SET these where it set the variables\n");
        list(out, "settings", &brought.settings)?;
    }
    field(out, "function", &brought.function)?;
    optional(out, "trigger", brought.trigger.as_deref())?;
    optional(out, "table", brought.table.as_deref())?;
    field(out, "sql", &brought.sql)?;
    optional(out, "trigger_sql", brought.trigger_sql.as_deref())
}

fn step(out: &mut String, step: &Step) -> std::fmt::Result {
    out.push_str("\n[[step]]\n");
    field(out, "title", &step.title)?;
    writeln!(out, "transaction = {}", step.transaction)?;
    out.push_str("# taken first, in SHARE ROW EXCLUSIVE mode: readers go on\n");
    list(out, "locks", &step.locks)?;
    if !step.exclusive.is_empty() {
        out.push_str("# taken before those, in ACCESS EXCLUSIVE mode: readers wait too, for a moment\n");
        list(out, "exclusive", &step.exclusive)?;
    }
    for one in &step.statements {
        statement(out, "step.statement", one)?;
    }
    Ok(())
}

fn statement(out: &mut String, kind: &str, statement: &Statement) -> std::fmt::Result {
    writeln!(out, "\n[[{kind}]]")?;
    field(out, "lock", &statement.lock)?;
    field(out, "expected", &statement.expected)?;
    field(out, "sql", &statement.sql)?;
    optional(out, "undo", statement.undo.as_deref())?;
    write!(out, "object = {{ kind = \"{}\", name = {}", statement.object.kind.name(), quoted(&statement.object.name))?;
    if let Some(table) = &statement.object.table {
        write!(out, ", table = {}", quoted(table))?;
    }
    out.push_str(" }\n");
    Ok(())
}

fn object(out: &mut String, object: &Object) -> std::fmt::Result {
    out.push_str("\n[[object]]\n");
    field(out, "kind", object.kind.name())?;
    field(out, "name", &object.name)?;
    optional(out, "table", object.table.as_deref())?;
    let Some(state) = &object.before else {
        out.push_str("# does not exist yet\n");
        return Ok(());
    };
    out.push_str("[object.before]\n");
    field(out, "fingerprint", &state.fingerprint)?;
    optional(out, "enabled", state.enabled.as_deref())?;
    optional(out, "owner", state.owner.as_deref())?;
    optional(out, "comment", state.comment.as_deref())?;
    optional(out, "acl", state.acl.as_deref())?;
    optional(out, "definition", state.definition.as_deref())
}

fn optional(out: &mut String, key: &str, value: Option<&str>) -> std::fmt::Result {
    value.map_or(Ok(()), |v| field(out, key, v))
}

fn field(out: &mut String, key: &str, value: &str) -> std::fmt::Result {
    let readable =
        value.contains('\n') && !value.contains("'''") && !value.ends_with('\'') && !value.contains(is_unsafe);
    if readable {
        // a literal string: nothing in it is escaped, and its first newline does not count
        writeln!(out, "{key} = '''\n{value}'''")
    } else {
        writeln!(out, "{key} = {}", quoted(value))
    }
}

fn list(out: &mut String, key: &str, values: &[String]) -> std::fmt::Result {
    match values {
        [] => writeln!(out, "{key} = []"),
        [one] => writeln!(out, "{key} = [{}]", quoted(one)),
        many => {
            writeln!(out, "{key} = [")?;
            for value in many {
                writeln!(out, "  {},", quoted(value))?;
            }
            writeln!(out, "]")
        }
    }
}

/// A basic string: every byte comes back, and nothing in it is obeyed by a terminal that shows the file.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if is_unsafe(c) => text.push_str(&format!("\\U{:08X}", c as u32)),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// A name in a comment must not end it.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_unsafe(c) { ' ' } else { c }).collect()
}

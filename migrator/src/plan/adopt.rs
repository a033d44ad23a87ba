//! Adoption: an event table's rows move into the store, and its name becomes a view that works as the table did.

use super::draft::{Choice, Choices, Draft, function_object, lockless, plain, table_object, trigger_object};
use super::shim;
use super::{Object, ObjectKind, ObjectName, Port, Statement, Step};
use crate::adopt::{Legacy, Mapping, reserve_sql};
use crate::error::Error;
use crate::judge::{Roles, Strategy, recognise, sql::Conflict};
use crate::marks;
use crate::source::Relation;
use domain_events_sql::quote::{quote_body, quote_ident, quote_literal};

/// Every table, where none is named.
pub const EVERY: &str = "*";

/// The event tables to adopt: those that the command line names, or that the plan file says.
pub(super) fn chosen(draft: &Draft<'_>, choices: &Choices) -> Result<Vec<(u32, Legacy)>, Error> {
    let mut named: Vec<&String> = choices.adopt.iter().filter(|n| *n != EVERY).collect();
    let mut adopted = vec![];
    for (oid, roles) in candidates(draft) {
        let relation = draft.relation(oid)?;
        let earlier = choices.earlier.as_ref();
        let decided = earlier.and_then(|p| p.event_tables.iter().find(|t| t.table == relation.quoted)).map(|t| t.adopt);
        if choices.only_earlier_tables && decided.is_none() {
            continue;
        }
        let asked = choices.adopt.iter().any(|n| n == EVERY || relation.is_called(n, &draft.catalogue.search_path));
        named.retain(|n| !relation.is_called(n, &draft.catalogue.search_path));
        if !asked && decided != Some(true) {
            continue;
        }
        let known = earlier.and_then(|p| p.adoptions.iter().find(|a| a.view_name() == relation.quoted));
        let legacy = legacy(draft, relation, &roles, known.map(|k| &k.mapping))?;
        refuse(draft, oid, relation, &roles, &legacy)?;
        adopted.push((oid, legacy));
    }
    match named.first() {
        Some(name) => Err(Error::usage(
            format!("no event table with a version is called \"{name}\""),
            "Name a table as `domain-events scan` prints it, or register it: domain_events.register_event_table().",
        )),
        None => Ok(adopted),
    }
}

/// Tables of versioned events: those that statements write, and those that are registered.
fn candidates(draft: &Draft<'_>) -> Vec<(u32, Roles)> {
    let targets = draft.report.targets.values().filter(|t| t.is_event_table && t.roles.version_column.is_some());
    let mut found: Vec<(u32, Roles)> = targets.map(|t| (t.relation, t.roles.clone())).collect();
    for known in draft.catalogue.store.iter().flat_map(|s| &s.event_tables) {
        let relation = draft.catalogue.relation(known.oid);
        if let Some(relation) = relation.filter(|r| found.iter().all(|(oid, _)| *oid != r.oid)) {
            found.push((relation.oid, recognise(relation, draft.catalogue, &draft.report.collected).roles));
        }
    }
    // what is adopted already is a view
    found.retain(|(oid, _)| draft.catalogue.relation(*oid).is_some_and(|r| r.kind != "v"));
    found.sort_by_key(|(oid, _)| draft.catalogue.relation(*oid).map(|r| r.quoted.clone()));
    found
}

fn legacy(draft: &Draft<'_>, relation: &Relation, roles: &Roles, known: Option<&Mapping>) -> Result<Legacy, Error> {
    let mapping = match known {
        Some(known) => known.clone(),
        None => {
            let mut mapping =
                Mapping::propose(&relation.columns, &relation.keys, roles, &relation.name).map_err(|e| {
                    let hint = e.hint().unwrap_or_default();
                    Error::usage(format!("{} cannot be adopted: {e}", relation.quoted), hint)
                })?;
            mapping.time_zone = draft.catalogue.time_zone.clone();
            mapping
        }
    };
    let taken = |name: &str| draft.catalogue.relations.iter().any(|r| r.schema == relation.schema && r.name == name);
    let mut end = relation.name.len().min(50);
    while !relation.name.is_char_boundary(end) {
        end -= 1;
    }
    let base = format!("{}_adopted", &relation.name[..end]);
    let side = if taken(&base) {
        (2..).map(|n| format!("{base}_{n}")).find(|n| !taken(n)).unwrap_or_else(|| base.clone())
    } else {
        base
    };
    let legacy = Legacy {
        schema: relation.schema.clone(),
        name: relation.name.clone(),
        side,
        owner: relation.owner.clone(),
        columns: relation.columns.clone(),
        key: relation.keys.iter().find(|k| k.primary).map(|k| k.columns.clone()).unwrap_or_default(),
        only_in_store: vec![],
        mapping,
    };
    legacy.check()?;
    Ok(legacy)
}

/// Refuses a table that a view could not stand in for.
fn refuse(draft: &Draft<'_>, oid: u32, relation: &Relation, roles: &Roles, legacy: &Legacy) -> Result<(), Error> {
    let why =
        |why: String, hint: &str| Err(Error::usage(format!("{} cannot be adopted: {why}", relation.quoted), hint));
    if relation.kind != "r" {
        return why("it is no plain table".into(), "Choose shim: it serves partitioned tables too.");
    }
    if roles.key.is_none() {
        return why(
            format!("it has no unique key over ({})", legacy.mapping.stream().join(", ")),
            "Port it by shim first, then: domain-events repair, and domain-events repair --add-key",
        );
    }
    if roles.stream.len() > 2 || !roles.further.is_empty() {
        return why(
            format!(
                "its stream ({}) is no type and id, or its unique key has further columns ({})",
                roles.stream.join(", "),
                roles.further.join(", ")
            ),
            "Choose shim: it serves streams of up to four columns.",
        );
    }
    if let Some(bound) = relation.bound.first() {
        return why(
            format!("a view cannot take over {bound}"),
            "Remove it first, or choose shim, which leaves the table as it is.",
        );
    }
    let before = |t: &&crate::source::Trigger| {
        t.relation == oid
            && t.timing == "BEFORE"
            && t.name != shim::TRIGGER
            && t.enabled != "D"
            && t.events.iter().any(|e| e == "INSERT")
    };
    if let Some(trigger) = draft.catalogue.triggers.iter().find(before) {
        return why(
            format!("trigger {} changes what is inserted, after the event would have been stored", trigger.name),
            "Port it by shim, which takes the trigger's place, and disable the trigger; then plan again.",
        );
    }
    // the view's function, which fires them, has a pinned path
    let without_path = |t: &&crate::source::Trigger| {
        t.relation == oid
            && t.timing == "AFTER"
            && t.enabled != "D"
            && t.events.iter().any(|e| e == "INSERT")
            && draft.catalogue.function(t.function).is_some_and(|f| f.language != "c" && f.search_path.is_none())
    };
    if let Some(trigger) = draft.catalogue.triggers.iter().find(without_path) {
        let function = draft.catalogue.function(trigger.function).map(|f| f.identity.clone()).unwrap_or_default();
        return why(
            format!(
                "trigger {} would fire without the search_path of whoever inserts, and its function has none of its own",
                trigger.name
            ),
            &format!(
                "Give it the one it expects: alter function {function} set search_path = {}, pg_temp; then plan again.",
                plain(&relation.schema)
            ),
        );
    }
    for judged in draft.report.judged.iter().filter(|j| j.event_table == Some(oid)) {
        let insert = judged.write.and_then(|n| draft.report.collected.writes[n].insert.as_ref());
        if insert.is_some_and(|i| matches!(i.conflict, Conflict::Nothing | Conflict::Update)) {
            return why(
                format!(
                    "{} inserts with ON CONFLICT, which no view with an INSTEAD OF trigger takes",
                    judged.finding.function.as_deref().unwrap_or("a statement")
                ),
                "Take the clause out: the version is never taken any more.",
            );
        }
    }
    Ok(())
}

/// What a port into an adopted table declares.
pub(super) fn declare(port: &mut Port, choice: &Choice<'_>) -> Result<(), Error> {
    match choice.strategy {
        Strategy::Rewrite => {
            return Err(Error::usage(
                "rewrite is not needed for a table that is adopted",
                "Choose shim: the view assigns the version, whoever inserts.",
            ));
        }
        Strategy::Capture => {
            port.declared_differences.push("the view of the old name does not show captured events".into())
        }
        _ => {}
    }
    port.declared_differences.extend([
        "events go to domain_events.events; the table's name becomes a view with the same columns".to_owned(),
        "delete, truncate and updates of what the store holds are refused with 23001 (of a column that --finish dropped with 55000); ON CONFLICT, COPY .. TO and system columns do not work on a view".to_owned(),
    ]);
    Ok(())
}

/// Adds the adoption of a table: a step of its own, since it alone makes readers wait for a moment.
pub(super) fn add(draft: &mut Draft<'_>, oid: u32, legacy: &Legacy, plan_id: &str, number: u32) -> Result<Step, Error> {
    let relation = draft.relation(oid)?.clone();
    let store_owner = draft.catalogue.store.as_ref().map_or_else(|| relation.owner.clone(), |s| s.owner.clone());
    draft.objects.push(table_object(&relation));
    may_append(draft, &relation)?;
    let mut statements = vec![];
    let insert = format!("{}()", legacy.insert_function_name());
    let guard = format!("{}()", legacy.guard_function_name());
    let head = format!("{}(aggregate_type text, aggregate_id text, last_place bigint)", legacy.head_function_name());
    for identity in [&insert, &guard, &head] {
        let known = draft.catalogue.functions.iter().find(|f| f.identity == *identity);
        if known.is_some_and(|f| !f.comment.as_deref().unwrap_or_default().starts_with(marks::ADOPTION)) {
            return Err(Error::usage(
                format!("function {identity} exists already and is not the tool's"),
                "Rename it, then plan again.",
            ));
        }
        draft.objects.push(known.map_or_else(
            || Object { kind: ObjectKind::Function, name: identity.clone(), table: None, before: None },
            function_object,
        ));
    }
    let drop = |identity: &str| format!("drop function if exists {identity};");
    statements.push(lockless(ObjectKind::Function, &insert, legacy.insert_function(), Some(drop(&insert))));
    // it still serves the old events that are left when the plan is taken back in between
    statements.push(lockless(ObjectKind::Function, &head, legacy.head_function(&store_owner), None));
    let shim =
        draft.catalogue.triggers.iter().find(|t| t.relation == oid && t.name == shim::TRIGGER && t.enabled != "D");
    if let Some(shim) = shim {
        draft.objects.push(trigger_object(shim, &relation));
    }
    let object = ObjectName { kind: ObjectKind::Table, name: relation.quoted.clone(), table: None };
    statements.push(Statement {
        object: object.clone(),
        lock: format!("ACCESS EXCLUSIVE on {}, SHARE ROW EXCLUSIVE on domain_events.events: readers of the one and writers of both wait", relation.quoted),
        expected: "under 100 ms once the locks are held; they are waited for at most --lock-timeout (500 ms), then given up and tried again. The rows are moved afterwards, in batches, and nobody waits for that".into(),
        sql: switch(draft, &relation, legacy, shim.is_some(), plan_id),
        undo: Some(switch_back(draft, &relation, legacy, shim.is_some())),
    });
    finish(draft, &relation, legacy, object, &insert, &head);
    Ok(Step {
        title: format!("let {} become a view over the event store", relation.quoted),
        transaction: number,
        locks: vec![],
        exclusive: vec![relation.quoted],
        statements,
    })
}

/// The table's owner appends events through the view, and reads them.
fn may_append(draft: &Draft<'_>, relation: &Relation) -> Result<(), Error> {
    let owner = plain(&relation.owner);
    match draft.catalogue.store.as_ref() {
        Some(store) if !store.executors.contains(&owner) => Err(Error::usage(
            format!("role {owner} owns {} and may not append events", relation.quoted),
            format!("Let an administrator run: grant domain_events_writer, domain_events_reader to {owner};"),
        )),
        _ => Ok(()),
    }
}

fn registration(draft: &Draft<'_>, table: &str, relation: &Relation, legacy: &Legacy) -> String {
    let kind = legacy.mapping.aggregate_type.as_deref().map_or("null".into(), quote_literal);
    let columns = draft.catalogue.registered(relation.oid);
    let (id, version) = columns.map_or((&legacy.mapping.aggregate_id, &legacy.mapping.aggregate_version), |c| {
        (&c.id_column, &c.version_column)
    });
    format!(
        "select domain_events._register_event_table({}, {kind}, {}, {});",
        quote_literal(table),
        quote_literal(id),
        quote_literal(version)
    )
}

fn switch(draft: &Draft<'_>, relation: &Relation, legacy: &Legacy, shimmed: bool, plan_id: &str) -> String {
    let (view, side) = (legacy.view_name(), legacy.side_name());
    let mut sql = vec![format!("alter table {view} rename to {};", plain(&legacy.side))];
    if shimmed {
        sql.push(format!("alter table {side} disable trigger {};", quote_ident(shim::TRIGGER)));
    }
    sql.push(legacy.view());
    let give = format!(
        "\n\
         declare\n  given record;\n\
         begin\n  \
           for given in\n    \
             select x.privilege_type, x.grantee, x.is_grantable, null::name as column_name\n      \
               from pg_catalog.pg_class c cross join lateral pg_catalog.aclexplode(c.relacl) x where c.oid = {side_literal}::regclass and x.grantee <> c.relowner\n    \
             union all\n    \
             select x.privilege_type, x.grantee, x.is_grantable, a.attname\n      \
               from pg_catalog.pg_attribute a cross join lateral pg_catalog.aclexplode(a.attacl) x where a.attrelid = {side_literal}::regclass\n  \
           loop\n    \
             execute pg_catalog.format({grant}, given.privilege_type, ' (' || pg_catalog.quote_ident(given.column_name) || ')',\n                                      \
               case given.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(given.grantee)) end,\n                                      \
               case when given.is_grantable then ' with grant option' end);\n  \
           end loop;\n\
         end\n",
        side_literal = quote_literal(&side),
        grant = quote_literal(&format!("grant %s%s on {} to %s%s", view.replace('%', "%%"))),
    );
    sql.push(format!("do {};", quote_body("grants", &give)));
    if let Some(comment) = &relation.comment {
        sql.push(format!("comment on view {view} is {};", quote_literal(comment)));
    }
    for column in &relation.columns {
        if let Some(comment) = &column.comment {
            sql.push(format!("comment on column {view}.{} is {};", plain(&column.name), quote_literal(comment)));
        }
    }
    sql.push(legacy.guards());
    if draft.catalogue.registered(relation.oid).is_some() {
        sql.push(format!("select domain_events.unregister_event_table({});", quote_literal(&side)));
    }
    // next_aggregate_version(.., the old name) goes on
    sql.push(registration(draft, &view, relation, legacy));
    let (first, last) = legacy.place_queries();
    sql.push(format!(
        "{};",
        reserve_sql(&view, Some(&side), (&first, &last), Some(&legacy.head_function_name()), Some(plan_id))
    ));
    sql.join("\n")
}

fn switch_back(draft: &Draft<'_>, relation: &Relation, legacy: &Legacy, shimmed: bool) -> String {
    let (view, side) = (legacy.view_name(), legacy.side_name());
    let mut sql = vec![
        format!("select domain_events.unregister_event_table({});", quote_literal(&view)),
        format!("drop view {view};"),
        legacy.drop_guards(),
        format!("alter table {side} rename to {};", plain(&relation.name)),
    ];
    if shimmed {
        sql.push(format!("alter table {view} enable trigger {};", quote_ident(shim::TRIGGER)));
    }
    if draft.catalogue.registered(relation.oid).is_some() {
        sql.push(registration(draft, &view, relation, legacy));
    }
    sql.join("\n")
}

/// What is no longer needed: the payload that the store holds exactly, where nothing names its column, and the function that
/// told of old events.
fn finish(draft: &mut Draft<'_>, relation: &Relation, legacy: &Legacy, object: ObjectName, insert: &str, head: &str) {
    let drop = lockless(ObjectKind::Function, head, format!("drop function if exists {head};"), None);
    let exact: Vec<String> =
        legacy.exact().into_iter().filter(|c| relation.column(c).is_some_and(|c| !c.used)).collect();
    if !exact.is_empty() {
        let (view, side) = (legacy.view_name(), legacy.side_name());
        let later = Legacy { only_in_store: exact.clone(), ..legacy.clone() };
        let columns: Vec<String> = exact.iter().map(|c| format!("drop column {}", plain(c))).collect();
        // it goes on for the columns that are left
        draft.finish.push(lockless(ObjectKind::Function, insert, later.insert_function(), None));
        draft.finish.push(Statement {
            object,
            lock: format!("ACCESS EXCLUSIVE on {view} and {side}: readers wait too, for a moment"),
            expected: "under 50 ms once the locks are held; the space is given back as rows are updated, or by VACUUM FULL".into(),
            sql: format!(
                "lock table {view} in access exclusive mode;\n{}\ncreate or replace view {view} as {};\nalter table {side} {};",
                later.reset_held_trigger(),
                later.selection(),
                columns.join(", ")
            ),
            undo: None,
        });
    }
    draft.finish.push(drop);
}

//! Whole programs: a trigger becomes a trigger function and a trigger, a routine a function or procedure.

use std::collections::{BTreeMap, BTreeSet};

use super::Translator;
use super::body::{slot, slot_of};
use super::context::{Known, Routine as Called, Slot, Table, Variable};
use super::effects::{assigns_new, calls, missing_row, returns_reads, writes};
use super::flow::local_variables;
use super::helpers::Helper;
use super::notes::{Fidelity, Note};
use super::value::{Ty, literal};
use super::writer::{Ending, Writer};
use crate::ast::{Definer, ParameterMode, Program, ProgramKind, Routine, Timing, Trigger, TriggerEvent};
use domain_events_sql::quote::quote_body;
use domain_events_sql::quote::quoted;

/// What is said of a trigger whose table nobody knows.
pub const NO_TABLE: &str = "the trigger's table is not in the source";

/// A translated program.
#[derive(Debug, Clone, Default)]
pub struct Translated {
    /// Its name in the source.
    pub name: String,
    /// Name of the function or procedure, not quoted.
    pub function: String,
    /// The function as `identity` spells it in the catalogue: qualified, with its argument types.
    pub identity: String,
    /// `procedure` or `function`.
    pub routine: &'static str,
    /// The statement that creates the function.
    pub create: String,
    /// The trigger's name and its statement.
    pub trigger: Option<(String, String)>,
    /// The trigger's table, quoted.
    pub table: Option<String>,
    /// Line of the body in PostgreSQL, line in the source.
    pub lines: Vec<(usize, u64)>,
    /// What was said.
    pub notes: Vec<Note>,
    /// Functions that it needs.
    pub helpers: BTreeSet<Helper>,
    /// Routines of the source that it calls, in lower case.
    pub calls: BTreeSet<String>,
    /// User variables and the settings they became.
    pub settings: BTreeMap<String, String>,
}

impl Translated {
    /// Worst of what was said.
    pub fn fidelity(&self) -> Fidelity {
        self.notes.iter().map(|n| n.fidelity).max().unwrap_or(Fidelity::Kept)
    }

    /// The line of the source that a line of the body came from.
    pub fn source_line(&self, line: usize) -> Option<u64> {
        self.lines.iter().rev().find(|(l, _)| *l <= line).map(|(_, source)| *source)
    }
}

/// Translates a program. `trigger_name` is its name in PostgreSQL, which says when it fires.
pub fn translate(program: &Program, known: &Known, trigger_name: &str, function_name: &str) -> Option<Translated> {
    match &program.kind {
        ProgramKind::Trigger(trigger) => Some(self::trigger(program, trigger, known, trigger_name, function_name)),
        ProgramKind::Routine(routine) => Some(self::routine(program, routine, known, function_name)),
        ProgramKind::Event => Some(event(program, known, function_name)),
    }
}

/// An event of the scheduler: what it does can be judged, when it does it cannot be kept.
fn event(program: &Program, known: &Known, function_name: &str) -> Translated {
    let head = Routine {
        returns: None,
        parameters: vec![],
        deterministic: None,
        data_access: None,
        security_invoker: false,
        aggregate: false,
        comment: None,
    };
    let mut made = routine(program, &head, known, function_name);
    made.notes.push(Note {
        fidelity: Fidelity::Refused,
        construct: format!("EVENT {}", program.name.name),
        text: "PostgreSQL has no scheduler: make a procedure of it, for pg_cron or the system's cron to call".into(),
        line: program.position.line,
    });
    made
}

/// What other programs need to know of a routine to call it.
pub fn signature(program: &Program, known: &Known) -> Option<Called> {
    let ProgramKind::Routine(routine) = &program.kind else { return None };
    let mut t = Translator::new(known);
    let parameters = routine.parameters.iter().map(|p| slot_of(&mut t, &p.data_type)).collect();
    let returns = routine.returns.as_ref().map(|r| slot_of(&mut t, r));
    let name = format!("{}.{}", quoted(&known.schema), quoted(&program.name.name.to_lowercase()));
    Some(Called { quoted: name, parameters, returns })
}

/// When a trigger fires in PostgreSQL: one that changes no row of its own but writes others fires when its row is there.
pub fn timing(program: &Program, trigger: &Trigger) -> Timing {
    if trigger.timing == Timing::Before && !assigns_new(&program.body) && writes(&program.body) {
        return Timing::After;
    }
    trigger.timing
}

fn trigger(program: &Program, trigger: &Trigger, known: &Known, trigger_name: &str, function_name: &str) -> Translated {
    let table = known.table(&trigger.table.name);
    let timing = self::timing(program, trigger);
    let event = trigger.events.first().copied().unwrap_or(TriggerEvent::Insert);
    let mut early = vec![];
    if timing != trigger.timing {
        early.push((
            "BEFORE",
            "it fires AFTER the row is written, so that a change which does not come about leaves no event; it does not change the row itself",
        ));
    }
    let returns = match (timing, event) {
        (Timing::After, _) => "null",
        (Timing::Before, TriggerEvent::Delete) => "old",
        (Timing::Before, _) => "new",
    };
    let mut made = body(program, known, table, Ending::Trigger(returns), &[], &early);
    let fn_name = quoted(function_name);
    let schema = quoted(&known.schema);
    let head = format!(
        "create or replace function {schema}.{fn_name}() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp\nas"
    );
    // a trigger of MySQL runs with its definer's rights
    let owner = match &program.definer {
        Some(Definer::Account { user, host }) => format!("; there it was {user}@{}", host.as_deref().unwrap_or("%")),
        _ => String::new(),
    };
    made.notes.push(Note {
        fidelity: Fidelity::Declared,
        construct: "DEFINER".into(),
        text: format!("the function runs with the rights of the role that applies the plan{owner}"),
        line: program.position.line,
    });
    if table.is_none() {
        made.notes.push(Note {
            fidelity: Fidelity::Refused,
            construct: trigger.table.to_string(),
            text: NO_TABLE.into(),
            line: program.position.line,
        });
    }
    let target = table.map_or_else(|| format!("{schema}.{}", quoted(&trigger.table.name)), |t| t.quoted.clone());
    let when = match timing {
        Timing::Before => "before",
        Timing::After => "after",
    };
    let columns: Vec<String> = trigger.update_of.iter().map(|c| quoted(c)).collect();
    let update = if columns.is_empty() { "update".to_owned() } else { format!("update of {}", columns.join(", ")) };
    let events: Vec<&str> = trigger
        .events
        .iter()
        .map(|e| match e {
            TriggerEvent::Insert => "insert",
            TriggerEvent::Update => update.as_str(),
            TriggerEvent::Delete => "delete",
        })
        .collect();
    let comment = literal(&format!("Trigger {} of MySQL, translated by domain-events", program.name.name));
    let create = format!(
        "{head} {};\nrevoke all on function {schema}.{fn_name}() from public;\ncomment on function {schema}.{fn_name}() is {comment};",
        quote_body("mysql", &format!("{}\n", made.text))
    );
    let trigger_sql = format!(
        "create trigger {} {when} {} on {target}\n  for each row execute function {schema}.{fn_name}();",
        quoted(trigger_name),
        events.join(" or "),
    );
    Translated {
        name: program.name.name.clone(),
        function: function_name.to_owned(),
        identity: format!("{schema}.{fn_name}()"),
        routine: "function",
        create,
        trigger: Some((trigger_name.to_owned(), trigger_sql)),
        table: Some(target),
        lines: made.lines,
        notes: made.notes,
        helpers: made.helpers,
        calls: calls(program, known),
        settings: made.settings,
    }
}

fn routine(program: &Program, routine: &Routine, known: &Known, function_name: &str) -> Translated {
    let mut t = Translator::new(known);
    let mut parameters = vec![];
    let mut types = vec![];
    for parameter in &routine.parameters {
        let slot = slot_of(&mut t, &parameter.data_type);
        // a function's parameter takes any length, as PostgreSQL forgets it anyway
        let base = slot.postgres.split('(').next().unwrap_or_default().trim().to_owned();
        let mode = match parameter.mode {
            ParameterMode::In => "",
            ParameterMode::Out | ParameterMode::InOut => "inout ",
        };
        if parameter.mode == ParameterMode::Out {
            t.declare("OUT", "INOUT: PostgreSQL 13 knows no OUT parameter of a procedure");
        }
        parameters.push(format!("{mode}{} {base}", quoted(&parameter.name.to_lowercase())));
        types.push(base);
    }
    let returns = routine.returns.as_ref().map(|r| slot_of(&mut t, r));
    if routine.aggregate {
        t.refuse("AGGREGATE FUNCTION", "not translated");
    }
    let ending = returns.clone().map_or(Ending::Procedure, Ending::Function);
    let names: Vec<(String, Slot)> =
        routine.parameters.iter().map(|p| (p.name.clone(), slot_of(&mut t, &p.data_type))).collect();
    let mut made = body(program, known, None, ending, &names, &[]);
    made.notes.splice(0..0, t.notes);
    let schema = quoted(&known.schema);
    let name = format!("{schema}.{}", quoted(function_name));
    let kind = if returns.is_some() { "function" } else { "procedure" };
    let result = returns
        .map_or(String::new(), |r| format!(" returns {}", r.postgres.split('(').next().unwrap_or_default().trim()));
    if routine.deterministic == Some(true) && returns_reads(program) {
        made.notes.push(Note {
            fidelity: Fidelity::Declared,
            construct: "DETERMINISTIC".into(),
            text: "VOLATILE: it reads tables".into(),
            line: program.position.line,
        });
    }
    let security = if routine.security_invoker {
        String::new()
    } else {
        made.notes.push(Note {
            fidelity: Fidelity::Declared,
            construct: "SQL SECURITY DEFINER".into(),
            text: "it runs with the rights of the role that applies the plan, and that role alone may call it until it grants EXECUTE".into(),
            line: program.position.line,
        });
        " security definer set search_path = pg_catalog, pg_temp".to_owned()
    };
    let volatility = if kind == "function" { " volatile" } else { "" };
    let comment = literal(&match &routine.comment {
        Some(comment) if !comment.is_empty() => comment.clone(),
        _ => format!("Routine {} of MySQL, translated by domain-events", program.name.name),
    });
    let called = format!("{name}({})", types.join(", "));
    let revoke =
        if routine.security_invoker { String::new() } else { format!("revoke all on {kind} {called} from public;\n") };
    let create = format!(
        "create or replace {kind} {name}({}){result}\nlanguage plpgsql{volatility}{security}\nas {};\n{revoke}comment on {kind} {called} is {comment};",
        parameters.join(", "),
        quote_body("mysql", &format!("{}\n", made.text))
    );
    // as pg_get_function_identity_arguments spells it
    let identity: Vec<String> = parameters.iter().map(|p| spelled(p)).collect();
    Translated {
        name: program.name.name.clone(),
        function: function_name.to_owned(),
        identity: format!("{name}({})", identity.join(", ")),
        routine: kind,
        create,
        trigger: None,
        table: None,
        lines: made.lines,
        notes: made.notes,
        helpers: made.helpers,
        calls: calls(program, known),
        settings: made.settings,
    }
}

fn spelled(parameter: &str) -> String {
    let parameter = parameter.strip_prefix("inout ").map_or_else(|| parameter.to_owned(), |p| format!("INOUT {p}"));
    match parameter.rsplit_once(' ') {
        Some((name, "varchar")) => format!("{name} character varying"),
        Some((name, "timestamp")) => format!("{name} timestamp without time zone"),
        Some((name, "time")) => format!("{name} time without time zone"),
        _ => parameter,
    }
}

struct Made {
    text: String,
    lines: Vec<(usize, u64)>,
    notes: Vec<Note>,
    helpers: BTreeSet<Helper>,
    settings: BTreeMap<String, String>,
}

/// The body from the opening delimiter to the closing one.
fn body(
    program: &Program,
    known: &Known,
    row: Option<&Table>,
    ending: Ending,
    parameters: &[(String, Slot)],
    early: &[(&str, &str)],
) -> Made {
    let mut types: BTreeMap<String, Ty> = BTreeMap::new();
    let locals = local_variables(program, known);
    let mut counts_rows = false;
    loop {
        let mut t = Translator::new(known);
        t.row = row;
        t.line = program.position.line;
        t.counts_rows = counts_rows;
        for (construct, text) in early {
            t.declare(construct, *text);
        }
        for (name, slot) in parameters {
            t.declare_variable(name, slot.clone());
        }
        for name in &locals {
            let ty = types.get(name).copied().unwrap_or(Ty::Text);
            let variable = Variable { quoted: quoted(&format!("user_{name}")), slot: slot(ty, postgres_of(ty)) };
            t.locals.insert(name.clone(), variable);
            t.declare(
                &format!("@{name}"),
                "a variable of this program: it assigns it before it reads it, and nothing else reads it",
            );
        }
        let missing = missing_row(program);
        if let Some((construct, text)) = missing {
            t.declare(construct, text);
        }
        let mut w = Writer::new(&mut t, ending.clone());
        w.filled.extend(parameters.iter().map(|(name, _)| quoted(&name.to_lowercase())));
        let head = w.outermost(&program.body);
        match &ending {
            Ending::Trigger(what) => w.put(&format!("return {what};")),
            Ending::Function(_) if w.text.is_empty() => w.put("return null;"),
            _ => {}
        }
        let (text, lines, given, extra) = (w.text, w.lines, w.given, w.extra);
        // once the types of user variables are known, and whether rows are counted, it is written for good
        let found: BTreeMap<String, Ty> = given
            .into_iter()
            .filter(|(n, _)| locals.contains(n))
            .map(|(n, types)| {
                let ty = types.into_iter().fold(Ty::Null, super::coerce::common);
                (
                    n,
                    match ty {
                        Ty::Bool => Ty::Int,
                        Ty::Null | Ty::Unknown | Ty::Interval => Ty::Text,
                        ty => ty,
                    },
                )
            })
            .collect();
        if found != types && types.is_empty() || t.counts_rows != counts_rows {
            (types, counts_rows) = (found, t.counts_rows);
            continue;
        }
        let mut declared = String::new();
        for (name, variable) in &t.locals {
            declared.push_str(&format!("  {} {}; -- @{name}\n", variable.quoted, variable.slot.postgres));
        }
        for (name, ty) in &extra {
            declared.push_str(&format!("  {name} {ty};\n"));
        }
        if counts_rows {
            declared.push_str("  mysql_row_count bigint := 0;\n");
        }
        declared.push_str(&head);
        // a variable hides a column of its name, as in MySQL
        let mut whole = String::from("\n#variable_conflict use_variable\n");
        if !declared.is_empty() {
            whole.push_str(&format!("declare\n{declared}"));
        }
        whole.push_str("begin\n");
        let offset = whole.matches('\n').count();
        whole.push_str(&text);
        whole.push_str("end");
        let lines = lines.into_iter().map(|(l, s)| (l + offset, s)).collect();
        return Made { text: whole, lines, notes: t.notes, helpers: t.helpers, settings: t.settings };
    }
}

fn postgres_of(ty: Ty) -> &'static str {
    match ty {
        Ty::Int | Ty::Bool => "bigint",
        Ty::Decimal(_) => "numeric",
        Ty::Double => "double precision",
        Ty::Date => "date",
        Ty::DateTime(_) => "timestamp",
        Ty::Time(_) => "time",
        Ty::Json => "jsonb",
        Ty::Bytes => "bytea",
        Ty::Uuid => "uuid",
        _ => "text",
    }
}

//! Calls of MySQL's built-in functions, by subject; what is none of them is a routine of the source.

mod aggregate;
mod flow;
mod json;
mod number;
mod session;
mod text;
mod time;

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart};

use super::Translator;
use super::value::{Collation, Sql};

/// A call as it was written.
pub(super) struct Call<'e> {
    /// Name in upper case.
    pub name: String,
    /// Arguments before translation; INTERVAL and unit words mean something only here.
    pub raw: Vec<&'e Expr>,
    /// Its whole text, for messages.
    pub whole: String,
}

impl Translator<'_> {
    /// A call.
    pub(super) fn function(&mut self, call: &Function, whole: &Expr) -> Sql {
        let parts: Vec<&str> = call
            .name
            .0
            .iter()
            .filter_map(|p| match p {
                ObjectNamePart::Identifier(name) => Some(name.value.as_str()),
                ObjectNamePart::Function(_) => None,
            })
            .collect();
        let name = parts.last().copied().unwrap_or_default();
        let raw = match &call.args {
            FunctionArguments::List(list) => {
                let mut raw = vec![];
                for argument in &list.args {
                    match argument {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => raw.push(expr),
                        FunctionArg::Unnamed(_) => {}
                        _ => return self.refuse(&whole.to_string(), "a named argument"),
                    }
                }
                raw
            }
            _ => vec![],
        };
        let upper = name.to_uppercase();
        if parts.len() == 1
            && let Some(value) = self.aggregate(&upper, call)
        {
            return value;
        }
        if call.over.is_some() {
            return self.refuse(&whole.to_string(), "a window function");
        }
        if upper == "VALUES" || upper == "VALUE" {
            return match raw.as_slice() {
                [Expr::Identifier(column)] => self.excluded_column(&column.value),
                [Expr::CompoundIdentifier(parts)] => {
                    let column = parts.last().map(|p| p.value.clone()).unwrap_or_default();
                    self.excluded_column(&column)
                }
                _ => self.refuse(&whole.to_string(), "VALUES() names a column"),
            };
        }
        let it = Call { name: upper, raw, whole: whole.to_string() };
        // a routine of the source goes before a built-in function only when its database is written
        if parts.len() == 1 {
            let found =
                self.flow_function(&it).or_else(|| self.time_function(&it)).or_else(|| self.session_function(&it));
            if let Some(value) = found {
                return value;
            }
        }
        let arguments: Vec<Sql> = it.raw.iter().map(|e| self.expr(e)).collect();
        if parts.len() == 1 {
            let found = self
                .text_function(&it, &arguments)
                .or_else(|| self.json_function(&it, &arguments))
                .or_else(|| self.number_function(&it, &arguments));
            if let Some(value) = found {
                return value;
            }
        }
        self.routine(name, &arguments, &it)
    }

    /// A function of the source.
    fn routine(&mut self, name: &str, arguments: &[Sql], it: &Call<'_>) -> Sql {
        let Some(routine) = self.known.routine(name).cloned() else {
            let reason = format!(
                "function {name} is neither built in nor in the source; mysqldump writes functions with --routines only"
            );
            self.refuse(&it.whole, reason);
            // the call stays, so that whoever reads it sees what was meant
            let arguments: Vec<String> = arguments.iter().map(|a| a.text.clone()).collect();
            let quoted = domain_events_sql::quote::quoted(&name.to_lowercase());
            return Sql::atom(format!("{}.{quoted}({})", self.schema(), arguments.join(", ")), super::Ty::Unknown);
        };
        let mut given = vec![];
        for (n, argument) in arguments.iter().enumerate() {
            let Some(slot) = routine.parameters.get(n) else { break };
            let value = self.store(argument, slot);
            given.push(self.as_argument(&value, slot).text);
        }
        let (ty, collation) = routine.returns.map_or((super::Ty::Unknown, Collation::Neutral), |r| (r.ty, r.collation));
        Sql { collation, ..Sql::atom(format!("{}({})", routine.quoted, given.join(", ")), ty) }
    }

    /// A call converts less than an assignment does: an integer is no smallint, a text no number.
    pub(super) fn as_argument(&mut self, value: &Sql, slot: &super::context::Slot) -> Sql {
        let base = slot.postgres.split('(').next().unwrap_or_default().trim();
        let own = value.postgres.as_deref();
        let fits = value.literal.is_some() && value.constant().is_some()
            || own == Some(base)
            || matches!(value.ty, super::Ty::Null)
            || matches!(base, "text" | "varchar" | "character varying") && value.ty == super::Ty::Text
            || base == "bigint" && (matches!(own, Some("smallint" | "integer")) || value.integer().is_some())
            || base == "jsonb" && value.ty == super::Ty::Json;
        if fits { value.clone() } else { value.cast(base, slot.ty) }
    }

    /// A built-in function whose arguments all are of one kind and whose name in PostgreSQL is its own.
    pub(super) fn plain(&self, name: &str, arguments: &[Sql], ty: super::Ty) -> Sql {
        let arguments: Vec<String> = arguments.iter().map(|a| a.text.clone()).collect();
        Sql::atom(format!("{name}({})", arguments.join(", ")), ty)
    }
}

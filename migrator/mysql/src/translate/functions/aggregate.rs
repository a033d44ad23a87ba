//! Aggregates.

use sqlparser::ast::{
    DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
};

use super::super::Translator;
use super::super::value::{Sql, Ty, literal};

impl Translator<'_> {
    pub(super) fn aggregate(&mut self, name: &str, call: &Function) -> Option<Sql> {
        let known = matches!(
            name,
            "COUNT"
                | "MAX"
                | "MIN"
                | "SUM"
                | "AVG"
                | "GROUP_CONCAT"
                | "JSON_ARRAYAGG"
                | "JSON_OBJECTAGG"
                | "BIT_AND"
                | "BIT_OR"
                | "ANY_VALUE"
        );
        let FunctionArguments::List(list) = &call.args else { return None };
        if !known || call.over.is_some() {
            return None;
        }
        let distinct = if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) { "distinct " } else { "" };
        let mut args = vec![];
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(self.expr(expr)),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => return Some(Sql::atom("count(*)", Ty::Int)),
                _ => return Some(self.refuse(&call.to_string(), "this form of an aggregate")),
            }
        }
        let first = args.first()?.clone();
        Some(match name {
            "COUNT" => {
                let all: Vec<String> = args.iter().map(|a| a.text.clone()).collect();
                let all = if all.len() == 1 { all.join("") } else { format!("({})", all.join(", ")) };
                Sql::atom(format!("count({distinct}{all})"), Ty::Int)
            }
            "MAX" | "MIN" => {
                if first.ty == Ty::Text {
                    self.declare(name, "texts are ordered by the database's collation");
                }
                Sql {
                    collation: first.collation,
                    ..Sql::atom(format!("{}({})", name.to_lowercase(), first.text), first.ty)
                }
            }
            "ANY_VALUE" => Sql::atom(format!("min({})", first.text), first.ty),
            "SUM" => {
                let number = self.number(&first);
                let ty = if number.ty == Ty::Int { Ty::Decimal(Some(0)) } else { number.ty };
                Sql::atom(format!("sum({distinct}{})", number.text), ty)
            }
            "AVG" => {
                let number = self.number(&first);
                match number.ty {
                    Ty::Int | Ty::Decimal(Some(_)) => {
                        let scale = if let Ty::Decimal(Some(s)) = number.ty { s } else { 0 } + 4;
                        Sql::atom(format!("round(avg({distinct}{}), {scale})", number.text), Ty::Decimal(Some(scale)))
                    }
                    _ => Sql::atom(format!("avg({distinct}{})", number.text), number.ty),
                }
            }
            "BIT_AND" | "BIT_OR" => Sql::atom(format!("{}({})", name.to_lowercase(), first.text), Ty::Int),
            "JSON_ARRAYAGG" => {
                let element = self.element(&first);
                Sql::atom(format!("jsonb_agg({})", element.text), Ty::Json)
            }
            "JSON_OBJECTAGG" => {
                let (key, value) = (self.text(&first), args.get(1).cloned()?);
                let value = self.element(&value);
                Sql::atom(format!("jsonb_object_agg({}, {})", key.text, value.text), Ty::Json)
            }
            _ => {
                let mut separator = ",".to_owned();
                let mut order = String::new();
                for clause in &list.clauses {
                    match clause {
                        FunctionArgumentClause::Separator(value) => {
                            separator = value.value.clone().into_string().unwrap_or_default();
                        }
                        FunctionArgumentClause::OrderBy(by) => {
                            let by: Vec<String> = by.iter().map(|o| self.order_by(o)).collect();
                            order = format!(" order by {}", by.join(", "));
                        }
                        _ => return Some(self.refuse(&call.to_string(), "this clause of GROUP_CONCAT")),
                    }
                }
                self.declare(
                    "GROUP_CONCAT",
                    "not cut at group_concat_max_len (1,024 bytes in MySQL 8, 1 MB in MariaDB)",
                );
                let text = self.concat(&args);
                Sql::atom(format!("string_agg({distinct}{}, {}{order})", text.text, literal(&separator)), Ty::Text)
            }
        })
    }
}

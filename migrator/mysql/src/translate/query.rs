//! Queries.

use sqlparser::ast::{
    Expr, GroupByExpr, Join, JoinConstraint, JoinOperator, LimitClause, LockType, ObjectName, ObjectNamePart,
    OrderByExpr, OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator,
    SetQuantifier, TableFactor, TableWithJoins,
};

use super::Translator;
use super::context::{Slot, Table};
use super::names::last;
use super::value::Sql;

impl<'a> Translator<'a> {
    /// A query in an expression: its text and its columns.
    pub fn subquery(&mut self, query: &Query) -> (String, Vec<Sql>) {
        // names inside are found inside first; what qualifies them outside is of no use there
        let qualifier = self.qualifier.take();
        let result = self.query(query, &[], "");
        self.qualifier = qualifier;
        result
    }

    /// A query whose columns go to `slots`, with `into` after its list.
    pub fn query(&mut self, query: &Query, slots: &[Slot], into: &str) -> (String, Vec<Sql>) {
        let mut text = String::new();
        let mut scopes = 0;
        if let Some(with) = &query.with {
            let mut parts = vec![];
            for cte in &with.cte_tables {
                let (inner, _) = self.query(&cte.query, &[], "");
                let columns: Vec<String> =
                    cte.alias.columns.iter().map(|c| domain_events_sql::quote::quoted(&c.name.value)).collect();
                let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
                parts
                    .push(format!("{}{columns} as ({inner})", domain_events_sql::quote::quoted(&cte.alias.name.value)));
                self.from.push(vec![(cte.alias.name.value.clone(), None)]);
                scopes += 1;
            }
            let recursive = if with.recursive { "recursive " } else { "" };
            text.push_str(&format!("with {recursive}{} ", parts.join(", ")));
        }
        let before = self.from.len();
        let (body, columns) = self.set(&query.body, slots, into);
        text.push_str(&body);
        if let Some(order) = &query.order_by {
            match &order.kind {
                OrderByKind::Expressions(by) => {
                    let by: Vec<String> = by.iter().map(|o| self.order_by(o)).collect();
                    // ORDER BY NULL asks for no order
                    let by: Vec<String> = by.into_iter().filter(|b| !b.starts_with("null")).collect();
                    if !by.is_empty() {
                        text.push_str(&format!(" order by {}", by.join(", ")));
                    }
                }
                OrderByKind::All(_) => {
                    self.refuse("ORDER BY ALL", "no such clause");
                }
            }
        }
        match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                if let Some(limit) = limit {
                    text.push_str(&format!(" limit {}", self.expr(limit).text));
                }
                if let Some(offset) = offset {
                    text.push_str(&format!(" offset {}", self.expr(&offset.value).text));
                }
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                text.push_str(&format!(" limit {} offset {}", self.expr(limit).text, self.expr(offset).text));
            }
            None => {}
        }
        // PostgreSQL locks no rows for an aggregate
        let locks = if super::assign::is_aggregate(query) { &[] } else { query.locks.as_slice() };
        if locks.len() < query.locks.len() {
            self.declare("FOR UPDATE of an aggregate", "left out: PostgreSQL has no such lock");
        }
        for lock in locks {
            text.push_str(match lock.lock_type {
                LockType::Update => " for update",
                _ => " for share",
            });
            if let Some(how) = &lock.nonblock {
                text.push_str(&format!(" {}", how.to_string().to_lowercase()));
            }
        }
        self.from.truncate(before);
        self.from.truncate(before.saturating_sub(scopes));
        (text, columns)
    }

    /// The scope of the innermost SELECT stays until the query's ORDER BY is read.
    fn set(&mut self, body: &SetExpr, slots: &[Slot], into: &str) -> (String, Vec<Sql>) {
        match body {
            SetExpr::Select(select) => self.select(select, slots, into),
            SetExpr::Query(query) => {
                let (text, columns) = self.query(query, slots, into);
                (format!("({text})"), columns)
            }
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                let depth = self.from.len();
                let (a, columns) = self.set(left, slots, into);
                self.from.truncate(depth);
                let (b, _) = self.set(right, slots, "");
                self.from.truncate(depth);
                let word = match op {
                    SetOperator::Union => "union",
                    SetOperator::Intersect => "intersect",
                    SetOperator::Except | SetOperator::Minus => "except",
                };
                let all = if *set_quantifier == SetQuantifier::All { " all" } else { "" };
                (format!("{a} {word}{all} {b}"), columns)
            }
            SetExpr::Values(values) => {
                let mut rows = vec![];
                for row in &values.rows {
                    let cells: Vec<String> = row
                        .content
                        .iter()
                        .enumerate()
                        .map(|(n, cell)| {
                            if matches!(cell, Expr::Identifier(i) if i.value.eq_ignore_ascii_case("default") && i.quote_style.is_none()) {
                                return "default".to_owned();
                            }
                            let value = self.expr(cell);
                            match slots.get(n) {
                                Some(slot) if slot.numbered && asks_for_a_number(&value) => "default".to_owned(),
                                Some(slot) => self.store(&value, slot).text,
                                None => value.text,
                            }
                        })
                        .collect();
                    rows.push(format!("({})", crate::translate::names::listed(&cells)));
                }
                (format!("values {}", rows.join(", ")), vec![])
            }
            other => (self.refuse(&other.to_string(), "this form of a query").text, vec![]),
        }
    }

    fn select(&mut self, select: &Select, slots: &[Slot], into: &str) -> (String, Vec<Sql>) {
        self.from.push(vec![]);
        let mut from = vec![];
        for table in &select.from {
            if let Some(text) = self.table_with_joins(table) {
                from.push(text);
            }
        }
        let mut columns = vec![];
        let mut list = vec![];
        for (n, item) in select.projection.iter().enumerate() {
            match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    let mut value = self.expr(expr);
                    if let Some(slot) = slots.get(n) {
                        value = self.store(&value, slot);
                    }
                    let mut text = value.text.clone();
                    if let SelectItem::ExprWithAlias { alias, .. } = item {
                        text.push_str(&format!(" as {}", domain_events_sql::quote::quoted(&alias.value)));
                    }
                    list.push(text);
                    columns.push(value);
                }
                SelectItem::Wildcard(_) => list.push("*".into()),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    list.push(format!("{}.*", domain_events_sql::quote::quoted(&last(name))));
                }
                other => {
                    let refused = self.refuse(&other.to_string(), "this item of a list");
                    list.push(refused.text);
                }
            }
        }
        let distinct = if select.distinct.is_some() { "distinct " } else { "" };
        let mut text = format!("select {distinct}{}", list.join(", "));
        text.push_str(into);
        if !from.is_empty() {
            text.push_str(&format!(" from {}", from.join(", ")));
        }
        if let Some(condition) = &select.selection {
            text.push_str(&format!(" where {}", self.condition_of(condition)));
        }
        match &select.group_by {
            GroupByExpr::Expressions(by, modifiers) => {
                if !modifiers.is_empty() {
                    self.refuse("GROUP BY .. WITH ROLLUP", "not translated");
                }
                if !by.is_empty() {
                    let by: Vec<String> = by.iter().map(|e| self.expr(e).text).collect();
                    text.push_str(&format!(" group by {}", by.join(", ")));
                }
            }
            GroupByExpr::All(_) => {
                self.refuse("GROUP BY ALL", "no such clause");
            }
        }
        if let Some(having) = &select.having {
            text.push_str(&format!(" having {}", self.condition_of(having)));
        }
        (text, columns)
    }

    /// A table with what is joined to it; none for DUAL.
    pub fn table_with_joins(&mut self, table: &TableWithJoins) -> Option<String> {
        let mut text = self.factor(&table.relation)?;
        for join in &table.joins {
            text.push_str(&self.join(join));
        }
        Some(text)
    }

    fn join(&mut self, join: &Join) -> String {
        let (word, constraint) = match &join.join_operator {
            JoinOperator::Join(c)
            | JoinOperator::Inner(c)
            | JoinOperator::CrossJoin(c)
            | JoinOperator::StraightJoin(c) => ("join", c),
            JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => ("left join", c),
            JoinOperator::Right(c) | JoinOperator::RightOuter(c) => ("right join", c),
            other => {
                let refused = self.refuse(&format!("{other:?}"), "this join");
                return format!(" join {} on true", refused.text);
            }
        };
        let table = self.factor(&join.relation).unwrap_or_default();
        match constraint {
            JoinConstraint::On(on) => format!(" {word} {table} on {}", self.condition_of(on)),
            JoinConstraint::Using(columns) => {
                let columns: Vec<String> = columns.iter().map(|c| domain_events_sql::quote::quoted(&last(c))).collect();
                format!(" {word} {table} using ({})", columns.join(", "))
            }
            // MySQL has no alias of the joined columns.
            JoinConstraint::UsingAlias(..) => {
                let refused = self.refuse(&format!("{constraint:?}"), "this join");
                format!(" {word} {} on true", refused.text)
            }
            JoinConstraint::Natural => format!(" natural {word} {table}"),
            JoinConstraint::None => format!(" {word} {table} on true"),
        }
    }

    fn factor(&mut self, factor: &TableFactor) -> Option<String> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                if last(name).eq_ignore_ascii_case("dual") && alias.is_none() {
                    return None;
                }
                let own = last(name);
                let alias = alias.as_ref().map(|a| a.name.value.clone());
                let from_query =
                    self.from.iter().rev().skip(1).any(|s| s.iter().any(|(a, t)| t.is_none() && *a == own));
                let (text, table) =
                    if from_query { (domain_events_sql::quote::quoted(&own), None) } else { self.table(name) };
                self.in_scope(alias.clone().unwrap_or(own), table);
                Some(match alias {
                    Some(alias) => format!("{text} {}", domain_events_sql::quote::quoted(&alias)),
                    None => text,
                })
            }
            TableFactor::Derived { subquery, alias, lateral, .. } => {
                let (text, _) = self.query(subquery, &[], "");
                let alias = alias.as_ref().map_or("q".to_owned(), |a| a.name.value.clone());
                self.in_scope(alias.clone(), None);
                let lateral = if *lateral { "lateral " } else { "" };
                Some(format!("{lateral}({text}) {}", domain_events_sql::quote::quoted(&alias)))
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                self.table_with_joins(table_with_joins).map(|t| format!("({t})"))
            }
            other => Some(self.refuse(&other.to_string(), "this form of a table").text),
        }
    }

    pub(super) fn in_scope(&mut self, alias: String, table: Option<&'a Table>) {
        if let Some(scope) = self.from.last_mut() {
            scope.push((alias, table));
        }
    }

    /// A table's name for PostgreSQL, and what is known of it.
    pub fn table(&mut self, name: &ObjectName) -> (String, Option<&'a Table>) {
        let words: Vec<String> = name
            .0
            .iter()
            .filter_map(|p| match p {
                ObjectNamePart::Identifier(i) => Some(i.value.clone()),
                ObjectNamePart::Function(_) => None,
            })
            .collect();
        let own = words.last().cloned().unwrap_or_default();
        if words.len() > 1
            && let Some(database) = &self.known.database
            && !words[0].eq_ignore_ascii_case(database)
        {
            let whole = words.join(".");
            self.refuse(&whole, "a table of another database");
            return (
                format!("{}.{}", domain_events_sql::quote::quoted(&words[0]), domain_events_sql::quote::quoted(&own)),
                None,
            );
        }
        let known: &'a super::Known = self.known;
        match known.table(&own) {
            Some(table) => (table.quoted.clone(), Some(table)),
            None => {
                self.refuse(&own, "this table is not in the source");
                let schema = match words.as_slice() {
                    [database, _] => domain_events_sql::quote::quoted(database),
                    _ => self.schema(),
                };
                (format!("{schema}.{}", domain_events_sql::quote::quoted(&own)), None)
            }
        }
    }

    /// An expression of ORDER BY. NULL comes first in MySQL, last in PostgreSQL.
    pub fn order_by(&mut self, by: &OrderByExpr) -> String {
        let value = self.expr(&by.expr);
        let descending = matches!(by.options.sort, Some(sqlparser::ast::OrderBySort::Desc));
        let certain = value.literal.is_some() || self.never_null(&by.expr) || value.text.starts_with("count(");
        let nulls = match (certain, descending) {
            (true, _) => "",
            (false, false) => " nulls first",
            (false, true) => " nulls last",
        };
        format!("{}{}{nulls}", value.text, if descending { " desc" } else { "" })
    }

    fn never_null(&self, expr: &Expr) -> bool {
        let name = match expr {
            Expr::Identifier(name) => &name.value,
            Expr::CompoundIdentifier(parts) => match parts.last() {
                Some(name) => &name.value,
                None => return false,
            },
            Expr::Nested(inner) => return self.never_null(inner),
            _ => return false,
        };
        let scope = self.from.last().map(Vec::as_slice).unwrap_or_default();
        scope.len() == 1 && scope[0].1.and_then(|t| t.column(name)).is_some_and(|c| c.not_null)
    }
}

/// NULL and 0 in an AUTO_INCREMENT column are no values.
pub(super) fn asks_for_a_number(value: &Sql) -> bool {
    value.ty == super::value::Ty::Null || value.integer() == Some(0)
}

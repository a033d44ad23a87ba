//! Statements that make and change tables, folded in order.

use super::super::lexer::cursor::Cursor;
use super::column;
use super::expect::{Parsed, expected};
use super::parse;
use super::{Fault, Key, KeyKind, Schema, Table};

impl Schema {
    pub(super) fn statement(&mut self, cursor: &mut Cursor<'_>, line: u64, used: Option<&str>) -> Parsed<()> {
        let home = |named: &Option<String>| named.clone().or_else(|| used.map(str::to_owned));
        if cursor.takes(&["CREATE"]) {
            cursor.takes(&["OR", "REPLACE"]);
            if cursor.takes(&["TEMPORARY"]) {
                return Ok(());
            }
            if cursor.takes(&["TABLE"]) {
                if let Some(mut table) = parse::create(cursor, line)? {
                    table.home = home(&table.database);
                    self.tables.retain(|t| t.name != table.name || t.database != table.database);
                    self.tables.push(table);
                }
                return Ok(());
            }
            return self.index(cursor);
        }
        if cursor.takes(&["DROP", "TABLE"]) {
            cursor.takes(&["IF", "EXISTS"]);
            while let Some((database, name)) = cursor.qualified() {
                // one that may be another database's stays
                self.tables.retain(|t| t.name != name || t.home != home(&database));
                cursor.sign(',');
            }
        } else if cursor.takes(&["RENAME", "TABLE"]) {
            while let Some((_, old)) = cursor.qualified() {
                cursor.takes(&["TO"]);
                let Some((_, new)) = cursor.qualified() else { return expected("the new name", cursor) };
                self.rename(&old, new);
                cursor.sign(',');
            }
        } else if cursor.takes(&["ALTER"]) {
            cursor.takes(&["IGNORE"]);
            if cursor.takes(&["TABLE"]) {
                return self.alter(cursor);
            }
        }
        Ok(())
    }

    fn rename(&mut self, old: &str, new: String) {
        if let Some(table) = self.tables.iter_mut().find(|t| t.name == old) {
            table.name = new;
        }
    }

    // CREATE [UNIQUE|FULLTEXT|SPATIAL] INDEX name [USING ..] ON table (..)
    fn index(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        let kind = if cursor.takes(&["UNIQUE"]) {
            KeyKind::Unique
        } else if cursor.takes(&["FULLTEXT"]) {
            KeyKind::Fulltext
        } else if cursor.takes(&["SPATIAL"]) {
            KeyKind::Spatial
        } else {
            KeyKind::Index
        };
        if !cursor.takes(&["INDEX"]) {
            return Ok(());
        }
        cursor.takes(&["IF", "NOT", "EXISTS"]);
        let name = cursor.name();
        if cursor.takes(&["USING"]) {
            cursor.take();
        }
        if !cursor.takes(&["ON"]) {
            return expected("ON", cursor);
        }
        let Some((_, table)) = cursor.qualified() else { return expected("the table of the index", cursor) };
        let parts = parse::parts(cursor)?;
        if let Some(table) = self.tables.iter_mut().find(|t| t.name == table) {
            table.keys.push(Key { name, kind, parts });
        }
        Ok(())
    }

    fn alter(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        cursor.takes(&["IF", "EXISTS"]);
        let Some((_, name)) = cursor.qualified() else { return expected("the name of the table", cursor) };
        let Some(at) = self.tables.iter().position(|t| t.name == name) else { return Ok(()) };
        // whole or not at all
        let mut table = self.tables[at].clone();
        let mut renamed = None;
        loop {
            change(cursor, &mut table, &mut renamed).map_err(|fault| Fault { table: Some(name.clone()), ..fault })?;
            if !cursor.sign(',') {
                break;
            }
        }
        if let Some(new) = renamed {
            table.name = new;
        }
        self.tables[at] = table;
        Ok(())
    }
}

fn change(cursor: &mut Cursor<'_>, table: &mut Table, renamed: &mut Option<String>) -> Parsed<()> {
    if cursor.takes(&["ADD"]) {
        let _ = cursor.takes(&["COLUMN"]);
        cursor.takes(&["IF", "NOT", "EXISTS"]);
        if cursor.sign('(') {
            while !cursor.sign(')') {
                parse::element(cursor, table)?;
                cursor.sign(',');
            }
            return Ok(());
        }
        return parse::element(cursor, table);
    }
    if cursor.takes(&["MODIFY"]) {
        cursor.takes(&["COLUMN"]);
        cursor.takes(&["IF", "EXISTS"]);
        let column = column::column(cursor, table)?;
        return replace(cursor, table, &column.name.clone(), column);
    }
    if cursor.takes(&["CHANGE"]) {
        cursor.takes(&["COLUMN"]);
        let Some(old) = cursor.name() else { return expected("the name of a column", cursor) };
        let column = column::column(cursor, table)?;
        return replace(cursor, table, &old, column);
    }
    if cursor.takes(&["DROP"]) {
        drop(cursor, table);
    } else if cursor.takes(&["RENAME", "COLUMN"]) {
        let old = cursor.name();
        cursor.takes(&["TO"]);
        if let (Some(old), Some(new)) = (old, cursor.name())
            && let Some(column) = table.columns.iter_mut().find(|c| c.name.eq_ignore_ascii_case(&old))
        {
            column.name = new.clone();
            rename_parts(table, &old, &new);
        }
    } else if cursor.takes(&["RENAME"]) {
        let _ = cursor.takes(&["TO"]) || cursor.takes(&["AS"]);
        *renamed = cursor.qualified().map(|(_, name)| name);
    } else if cursor.takes(&["AUTO_INCREMENT"]) {
        cursor.sign('=');
        table.auto_increment = cursor.text().and_then(|n| n.parse().ok());
    } else if cursor.takes(&["COMMENT"]) {
        cursor.sign('=');
        table.comment = cursor.text();
    }
    // what else there is changes nothing that matters here
    cursor.until_comma();
    Ok(())
}

// Keys follow the column.
fn rename_parts(table: &mut Table, old: &str, new: &str) {
    for part in table.keys.iter_mut().flat_map(|k| &mut k.parts) {
        if !part.expression && part.column.eq_ignore_ascii_case(old) {
            part.column = new.to_owned();
        }
    }
    for column in table.foreign_keys.iter_mut().flat_map(|k| &mut k.columns) {
        if column.eq_ignore_ascii_case(old) {
            *column = new.to_owned();
        }
    }
}

fn replace(cursor: &Cursor<'_>, table: &mut Table, old: &str, column: super::Column) -> Parsed<()> {
    rename_parts(table, old, &column.name);
    match table.columns.iter_mut().find(|c| c.name.eq_ignore_ascii_case(old)) {
        Some(place) => {
            let json = place.json;
            *place = super::Column { json: column.json || json && column.kind.name == "longtext", ..column };
            Ok(())
        }
        None => {
            let reason = format!("column {old} of {} is not in what was read", table.name);
            Err(Fault { offset: cursor.offset(), table: None, reason })
        }
    }
}

/// A key without a name is called after its first column by the server: `baby_id`, `baby_id_2` and so on.
fn drop_key(table: &mut Table, name: &str) {
    let named = |k: &Key| k.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(name));
    let at = table.keys.iter().position(named).or_else(|| {
        let mut taken: Vec<String> =
            table.keys.iter().filter_map(|k| k.name.as_ref().map(|n| n.to_lowercase())).collect();
        table.keys.iter().position(|k| {
            let Some(first) = k.parts.first().filter(|_| k.name.is_none() && k.kind != KeyKind::Primary) else {
                return false;
            };
            let first = first.column.to_lowercase();
            let numbered = (2..).map(|n| format!("{first}_{n}"));
            let free = std::iter::once(first.clone()).chain(numbered).find(|n| !taken.contains(n));
            taken.extend(free.clone());
            free.is_some_and(|n| n == name.to_lowercase())
        })
    });
    if let Some(at) = at {
        table.keys.remove(at);
    }
}

fn drop(cursor: &mut Cursor<'_>, table: &mut Table) {
    if cursor.takes(&["PRIMARY", "KEY"]) {
        table.keys.retain(|k| k.kind != KeyKind::Primary);
    } else if cursor.takes(&["KEY"]) || cursor.takes(&["INDEX"]) {
        if let Some(name) = cursor.name() {
            drop_key(table, &name);
        }
    } else if cursor.takes(&["FOREIGN", "KEY"]) || cursor.takes(&["CONSTRAINT"]) {
        let name = cursor.name();
        table.foreign_keys.retain(|k| k.name != name);
        table.checks.retain(|(n, _)| *n != name);
        if let Some(name) = name {
            drop_key(table, &name);
        }
    } else if cursor.takes(&["CHECK"]) {
        let name = cursor.name();
        table.checks.retain(|(n, _)| *n != name);
    } else {
        cursor.takes(&["COLUMN"]);
        cursor.takes(&["IF", "EXISTS"]);
        if let Some(name) = cursor.name() {
            table.columns.retain(|c| !c.name.eq_ignore_ascii_case(&name));
            for key in &mut table.keys {
                key.parts.retain(|p| p.expression || !p.column.eq_ignore_ascii_case(&name));
            }
            table.keys.retain(|k| !k.parts.is_empty());
        }
    }
}

//! The recursive descent over a table's definition.

use super::super::lexer::cursor::{Cursor, Part};
use super::column::column;
use super::expect::{Parsed, Wanted, expected, json_column};
use super::{Fault, ForeignKey, Key, KeyKind, KeyPart, Table};

/// After CREATE TABLE.
pub(super) fn create(cursor: &mut Cursor<'_>, line: u64) -> Parsed<Option<Table>> {
    cursor.takes(&["IF", "NOT", "EXISTS"]);
    let (database, name) = cursor.qualified().wanted("the name of the table", cursor)?;
    let mut table = Table { database, name, line, ..Table::default() };
    // CREATE TABLE .. LIKE, .. AS SELECT
    if !cursor.sign('(') {
        return Ok(None);
    }
    if cursor.sees(&["LIKE"]) || cursor.sees(&["SELECT"]) {
        return Ok(None);
    }
    loop {
        element(cursor, &mut table).map_err(|fault| Fault { table: Some(table.name.clone()), ..fault })?;
        if cursor.sign(')') {
            break;
        }
        if !cursor.sign(',') {
            return expected("a comma or )", cursor)
                .map_err(|fault| Fault { table: Some(table.name.clone()), ..fault });
        }
    }
    options(cursor, &mut table);
    Ok(Some(table))
}

// A column, a key or a constraint.
pub(super) fn element(cursor: &mut Cursor<'_>, table: &mut Table) -> Parsed<()> {
    if let Some(Part::Word(_)) = cursor.peek()
        && constraint(cursor, table)?
    {
        return Ok(());
    }
    let column = column(cursor, table)?;
    table.columns.push(column);
    Ok(())
}

/// A key or constraint; false when a column follows.
pub(super) fn constraint(cursor: &mut Cursor<'_>, table: &mut Table) -> Parsed<bool> {
    let mut name = None;
    let named = cursor.takes(&["CONSTRAINT"]);
    if named {
        cursor.takes(&["IF", "NOT", "EXISTS"]);
    }
    if named && !["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"].iter().any(|w| cursor.sees(&[w])) {
        name = Some(cursor.name().wanted("the name of the constraint", cursor)?);
    }
    if cursor.takes(&["PRIMARY", "KEY"]) {
        key(cursor, table, KeyKind::Primary, None)?;
    } else if cursor.takes(&["UNIQUE"]) {
        let _ = cursor.takes(&["KEY"]) || cursor.takes(&["INDEX"]);
        key(cursor, table, KeyKind::Unique, name)?;
    } else if cursor.takes(&["FULLTEXT"]) {
        let _ = cursor.takes(&["KEY"]) || cursor.takes(&["INDEX"]);
        key(cursor, table, KeyKind::Fulltext, None)?;
    } else if cursor.takes(&["SPATIAL"]) {
        let _ = cursor.takes(&["KEY"]) || cursor.takes(&["INDEX"]);
        key(cursor, table, KeyKind::Spatial, None)?;
    } else if cursor.takes(&["FOREIGN", "KEY"]) {
        cursor.takes(&["IF", "NOT", "EXISTS"]);
        if cursor.peek() != Some(Part::Sign('(')) {
            name = name.or(cursor.name());
        }
        let columns = names(cursor)?;
        let reference = references(cursor, name, columns)?;
        table.foreign_keys.push(reference);
    } else if cursor.takes(&["CHECK"]) {
        check(cursor, table, name)?;
    } else if cursor.takes(&["KEY"]) || cursor.takes(&["INDEX"]) {
        key(cursor, table, KeyKind::Index, None)?;
    } else if cursor.takes(&["PERIOD", "FOR"]) {
        cursor.until_comma();
    } else if named {
        return expected("PRIMARY KEY, UNIQUE, FOREIGN KEY or CHECK", cursor);
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn check(cursor: &mut Cursor<'_>, table: &mut Table, name: Option<String>) -> Parsed<()> {
    if !cursor.sign('(') {
        return expected("( after CHECK", cursor);
    }
    let expression = cursor.inside().wanted(") after CHECK", cursor)?;
    let _ = cursor.takes(&["NOT", "ENFORCED"]) || cursor.takes(&["ENFORCED"]);
    match json_column(&expression) {
        Some(column) => {
            if let Some(column) = table.columns.iter_mut().find(|c| c.name.eq_ignore_ascii_case(&column)) {
                column.json = true;
            }
        }
        None => table.checks.push((name, expression)),
    }
    Ok(())
}

fn key(cursor: &mut Cursor<'_>, table: &mut Table, kind: KeyKind, name: Option<String>) -> Parsed<()> {
    let mut own = None;
    // MariaDB's
    cursor.takes(&["IF", "NOT", "EXISTS"]);
    if cursor.peek() != Some(Part::Sign('(')) && !cursor.sees(&["USING"]) {
        own = cursor.name();
    }
    if cursor.takes(&["USING"]) {
        cursor.take();
    }
    let parts = parts(cursor)?;
    // USING BTREE, COMMENT '..', VISIBLE, KEY_BLOCK_SIZE = 8, WITH PARSER ngram
    cursor.until_comma();
    let name = if kind == KeyKind::Primary { None } else { own.or(name) };
    table.keys.push(Key { name, kind, parts });
    Ok(())
}

/// `(a, b(10) desc, (lower(c)))`
pub(super) fn parts(cursor: &mut Cursor<'_>) -> Parsed<Vec<KeyPart>> {
    if !cursor.sign('(') {
        return expected("( before the columns of a key", cursor);
    }
    let mut parts = vec![];
    loop {
        let mut part = KeyPart { column: String::new(), expression: false, prefix: None, descending: false };
        if cursor.sign('(') {
            part.column = cursor.inside().wanted(")", cursor)?;
            part.expression = true;
        } else {
            part.column = cursor.name().wanted("the column of a key", cursor)?;
            if cursor.sign('(') {
                part.prefix = cursor.inside().and_then(|n| n.parse().ok());
            }
        }
        part.descending = cursor.takes(&["DESC"]);
        cursor.takes(&["ASC"]);
        parts.push(part);
        if cursor.sign(')') {
            return Ok(parts);
        }
        if !cursor.sign(',') {
            return expected("a comma or ) in a key", cursor);
        }
    }
}

fn names(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    Ok(parts(cursor)?.into_iter().map(|p| p.column).collect())
}

fn references(cursor: &mut Cursor<'_>, name: Option<String>, columns: Vec<String>) -> Parsed<ForeignKey> {
    if !cursor.takes(&["REFERENCES"]) {
        return expected("REFERENCES", cursor);
    }
    let (database, table) = cursor.qualified().wanted("the table referred to", cursor)?;
    let references = if cursor.peek() == Some(Part::Sign('(')) { names(cursor)? } else { vec![] };
    let mut key = ForeignKey { name, columns, database, table, references, on_delete: None, on_update: None };
    loop {
        if cursor.takes(&["MATCH"]) {
            cursor.take();
        } else if cursor.takes(&["ON", "DELETE"]) {
            key.on_delete = Some(action(cursor)?);
        } else if cursor.takes(&["ON", "UPDATE"]) {
            key.on_update = Some(action(cursor)?);
        } else {
            return Ok(key);
        }
    }
}

fn action(cursor: &mut Cursor<'_>) -> Parsed<String> {
    for words in [&["CASCADE"][..], &["RESTRICT"], &["SET", "NULL"], &["NO", "ACTION"], &["SET", "DEFAULT"]] {
        if cursor.takes(words) {
            return Ok(words.join(" "));
        }
    }
    expected("CASCADE, RESTRICT, SET NULL or NO ACTION", cursor)
}

// ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4 COLLATE=.. COMMENT='..' PARTITION BY ..
fn options(cursor: &mut Cursor<'_>, table: &mut Table) {
    loop {
        cursor.takes(&["DEFAULT"]);
        cursor.sign(',');
        if cursor.takes(&["CHARACTER", "SET"]) || cursor.takes(&["CHARSET"]) {
            cursor.sign('=');
            table.charset = cursor.text();
            continue;
        }
        if cursor.takes(&["PARTITION"]) {
            table.partitioned = true;
            return;
        }
        let Some(name) = cursor.name() else { return };
        cursor.sign('=');
        match name.to_ascii_uppercase().as_str() {
            "ENGINE" => table.engine = cursor.text(),
            "COLLATE" => table.collation = cursor.text(),
            "COMMENT" => table.comment = cursor.text(),
            "AUTO_INCREMENT" => table.auto_increment = cursor.text().and_then(|n| n.parse().ok()),
            "WITH" => {}
            _ => _ = cursor.take(),
        }
    }
}

//! A column: its type, its default, its attributes.

use super::super::lexer::cursor::{Cursor, Part};
use super::expect::{Parsed, Wanted, expected, json_column, plain};
use super::{Column, Initial, Key, KeyKind, KeyPart, Table, Type};

/// A type by itself: `int(10) unsigned`, as information_schema's COLUMN_TYPE gives it.
pub fn parse_type(text: &str) -> Option<Type> {
    kind(&mut Cursor::new(&plain(text)), &mut Column::default()).ok()
}

/// A column and its attributes.
pub(super) fn column(cursor: &mut Cursor<'_>, table: &mut Table) -> Parsed<Column> {
    let mut column = Column { nullable: true, ..Column::default() };
    column.name = cursor.name().wanted("the name of a column", cursor)?;
    column.kind = kind(cursor, &mut column)?;
    if column.kind.name == "serial" {
        column.kind = Type { name: "bigint".into(), unsigned: true, arguments: vec![] };
        (column.auto_increment, column.nullable) = (true, false);
        table.keys.push(one(KeyKind::Unique, &column.name));
    }
    loop {
        match cursor.peek() {
            None | Some(Part::Sign(',' | ')')) => break,
            _ => attribute(cursor, &mut column, table)?,
        }
    }
    if table.keys.iter().any(|k| k.kind == KeyKind::Primary && k.parts.iter().any(|p| p.column == column.name)) {
        column.nullable = false;
    }
    Ok(column)
}

pub(super) fn one(kind: KeyKind, column: &str) -> Key {
    let part = KeyPart { column: column.into(), expression: false, prefix: None, descending: false };
    Key { name: (kind != KeyKind::Primary).then(|| column.to_owned()), kind, parts: vec![part] }
}

fn attribute(cursor: &mut Cursor<'_>, column: &mut Column, table: &mut Table) -> Parsed<()> {
    if cursor.takes(&["NOT", "NULL"]) {
        column.nullable = false;
    } else if cursor.takes(&["NULL"]) {
        column.nullable = true;
    } else if cursor.takes(&["DEFAULT"]) {
        column.default = Some(initial(cursor)?);
    } else if cursor.takes(&["ON", "UPDATE"]) {
        now(cursor).wanted("CURRENT_TIMESTAMP", cursor)?;
        column.on_update_now = true;
    } else if cursor.takes(&["AUTO_INCREMENT"]) {
        column.auto_increment = true;
    } else if cursor.takes(&["PRIMARY", "KEY"]) || cursor.takes(&["PRIMARY"]) {
        table.keys.push(one(KeyKind::Primary, &column.name));
        column.nullable = false;
    } else if cursor.takes(&["UNIQUE", "KEY"]) || cursor.takes(&["UNIQUE"]) {
        table.keys.push(one(KeyKind::Unique, &column.name));
    } else if cursor.takes(&["COMMENT"]) {
        column.comment = Some(cursor.text().wanted("the comment", cursor)?);
    } else if cursor.takes(&["COLLATE"]) {
        column.collation = Some(cursor.text().wanted("a collation", cursor)?);
    } else if cursor.takes(&["CHARACTER", "SET"]) || cursor.takes(&["CHARSET"]) {
        column.charset = Some(cursor.text().wanted("a character set", cursor)?);
    } else if cursor.takes(&["GENERATED", "ALWAYS", "AS"]) || cursor.takes(&["AS"]) {
        if !cursor.sign('(') {
            // GENERATED ALWAYS AS ROW START, of MariaDB's system versioning
            cursor.until_comma();
            return Ok(());
        }
        let expression = cursor.inside().wanted(") after a generated column", cursor)?;
        let stored = cursor.takes(&["STORED"]) || cursor.takes(&["PERSISTENT"]);
        cursor.takes(&["VIRTUAL"]);
        column.generated = Some((expression, stored));
    } else if cursor.takes(&["REFERENCES"]) {
        // InnoDB ignores it here
        cursor.until_comma();
    } else if cursor.sees(&["CONSTRAINT"]) || cursor.sees(&["CHECK"]) {
        let name = if cursor.takes(&["CONSTRAINT"]) && !cursor.sees(&["CHECK"]) { cursor.name() } else { None };
        if !cursor.takes(&["CHECK"]) || !cursor.sign('(') {
            return expected("CHECK (", cursor);
        }
        let expression = cursor.inside().wanted(") after CHECK", cursor)?;
        if json_column(&expression).is_some_and(|c| c.eq_ignore_ascii_case(&column.name)) {
            column.json = true;
        } else {
            table.checks.push((name, expression));
        }
    } else {
        skipped(cursor)?;
    }
    Ok(())
}

// INVISIBLE, KEY, STORAGE DISK, SRID 4326, COLUMN_FORMAT FIXED, AFTER x: nothing of it matters here.
fn skipped(cursor: &mut Cursor<'_>) -> Parsed<()> {
    for (word, arguments) in [
        ("VISIBLE", 0),
        ("INVISIBLE", 0),
        ("KEY", 0),
        ("STORAGE", 1),
        ("COLUMN_FORMAT", 1),
        ("SRID", 1),
        ("AFTER", 1),
        ("FIRST", 0),
        ("VIRTUAL", 0),
        ("STORED", 0),
        ("ENGINE_ATTRIBUTE", 1),
        ("COMPRESSED", 0),
        ("ENFORCED", 0),
    ] {
        if cursor.takes(&[word]) {
            cursor.sign('=');
            (0..arguments).for_each(|_| _ = cursor.take());
            return Ok(());
        }
    }
    if cursor.takes(&["WITHOUT", "SYSTEM", "VERSIONING"]) || cursor.takes(&["WITH", "SYSTEM", "VERSIONING"]) {
        return Ok(());
    }
    expected("an attribute of the column", cursor)
}

fn now(cursor: &mut Cursor<'_>) -> Option<u32> {
    let taken = ["CURRENT_TIMESTAMP", "NOW", "LOCALTIME", "LOCALTIMESTAMP"].iter().any(|w| cursor.takes(&[w]));
    if !taken {
        return None;
    }
    if !cursor.sign('(') {
        return Some(0);
    }
    if cursor.sign(')') { Some(0) } else { cursor.inside()?.parse().ok() }
}

fn initial(cursor: &mut Cursor<'_>) -> Parsed<Initial> {
    if cursor.takes(&["NULL"]) {
        return Ok(Initial::Null);
    }
    if let Some(digits) = now(cursor) {
        return Ok(Initial::Now(digits));
    }
    let minus = cursor.sign('-');
    cursor.sign('+');
    match cursor.peek() {
        Some(Part::Text(text)) => {
            cursor.take();
            Ok(Initial::Text(text.to_owned()))
        }
        Some(Part::Bits(digits)) => {
            cursor.take();
            Ok(Initial::Bits(digits.to_owned()))
        }
        Some(Part::Hex(digits)) => {
            cursor.take();
            Ok(Initial::Bits(bits_of_hex(digits)))
        }
        Some(Part::Word(word)) if word.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            cursor.take();
            Ok(Initial::Number(if minus { format!("-{word}") } else { word.to_owned() }))
        }
        Some(Part::Word(word)) if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false") => {
            cursor.take();
            Ok(Initial::Number(if word.eq_ignore_ascii_case("true") { "1" } else { "0" }.into()))
        }
        Some(Part::Word(word)) if word.starts_with('_') => {
            cursor.take();
            Ok(Initial::Text(cursor.text().wanted("a string", cursor)?))
        }
        Some(Part::Word(_)) => {
            // a function of MariaDB, without parentheses of its own
            let name = cursor.name().unwrap_or_default();
            if !cursor.sign('(') {
                return Ok(Initial::Expression(name));
            }
            let arguments = if cursor.sign(')') { String::new() } else { cursor.inside().wanted(")", cursor)? };
            Ok(Initial::Expression(format!("{name}({arguments})")))
        }
        Some(Part::Sign('(')) => {
            cursor.take();
            Ok(Initial::Expression(cursor.inside().wanted(") after DEFAULT", cursor)?))
        }
        _ => expected("a default", cursor),
    }
}

fn bits_of_hex(digits: &str) -> String {
    digits.chars().filter_map(|c| c.to_digit(16)).map(|d| format!("{d:04b}")).collect()
}

fn kind(cursor: &mut Cursor<'_>, column: &mut Column) -> Parsed<Type> {
    let Some(Part::Word(word)) = cursor.take() else { return expected("a type", cursor) };
    let name = match word.to_ascii_lowercase().as_str() {
        "integer" | "int4" => "int",
        "int1" | "bool" | "boolean" => "tinyint",
        "int2" => "smallint",
        "int3" | "middleint" => "mediumint",
        "int8" => "bigint",
        "dec" | "numeric" | "fixed" => "decimal",
        "real" | "float8" => "double",
        "float4" => "float",
        "character" | "nchar" => "char",
        "nvarchar" | "varcharacter" => "varchar",
        "long" => "mediumtext",
        other => return finish(other, matches!(other, "national" | "double"), cursor, column),
    };
    let boolean = word.to_ascii_lowercase().starts_with("bool");
    let mut kind = finish(name, name == "char" || name == "double", cursor, column)?;
    if boolean {
        kind.arguments = vec!["1".into()];
    }
    Ok(kind)
}

fn finish(name: &str, open: bool, cursor: &mut Cursor<'_>, column: &mut Column) -> Parsed<Type> {
    let mut name = name.to_owned();
    if open {
        cursor.takes(&["PRECISION"]);
        if name == "national" {
            cursor.take();
            cursor.takes(&["VARYING"]);
            name = "varchar".into();
        } else if cursor.takes(&["VARYING"]) {
            name = "varchar".into();
        }
    }
    let mut arguments = vec![];
    if cursor.sign('(') {
        loop {
            arguments.push(cursor.text().wanted("an argument of the type", cursor)?);
            if cursor.sign(')') {
                break;
            }
            if !cursor.sign(',') {
                return expected("a comma or ) in a type", cursor);
            }
        }
    }
    let mut unsigned = false;
    loop {
        if cursor.takes(&["UNSIGNED"]) || cursor.takes(&["ZEROFILL"]) {
            unsigned = true;
        } else if cursor.takes(&["SIGNED"]) {
        } else if cursor.takes(&["BINARY"]) {
            column.collation = Some("binary".into());
        } else if cursor.takes(&["UNICODE"]) || cursor.takes(&["ASCII"]) {
        } else {
            break;
        }
    }
    Ok(Type { name, arguments, unsigned })
}

//! The recursive descent over a table's definition.

use super::super::ast::{Position, SqlMode};
use super::super::lexer::Source;
use super::super::lexer::cursor::{Cursor, Part};
use super::{Column, Fault, ForeignKey, Initial, Key, KeyKind, KeyPart, Table, Type};

pub(super) type Parsed<T> = Result<T, Fault>;

pub(super) fn expected<T>(what: &str, cursor: &Cursor<'_>) -> Parsed<T> {
    let reason = format!("{what} is expected, but \"{}\" follows", cursor.near());
    Err(Fault { offset: cursor.offset(), table: None, reason })
}

trait Wanted<T> {
    fn wanted(self, what: &str, cursor: &Cursor<'_>) -> Parsed<T>;
}

impl<T> Wanted<T> for Option<T> {
    fn wanted(self, what: &str, cursor: &Cursor<'_>) -> Parsed<T> {
        self.map_or_else(|| expected(what, cursor), Ok)
    }
}

/// A type by itself: `int(10) unsigned`, as information_schema's COLUMN_TYPE gives it.
pub fn parse_type(text: &str) -> Option<Type> {
    kind(&mut Cursor::new(&plain(text)), &mut Column::default()).ok()
}

/// The tokens of a text by itself.
fn plain(text: &str) -> Source<'_> {
    Source::new(text, Position { line: 1, column: 1 }, SqlMode::default())
}

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

// json_valid(`c`), which is how MariaDB says JSON.
fn json_column(expression: &str) -> Option<String> {
    let source = plain(expression);
    let mut cursor = Cursor::new(&source);
    if !cursor.takes(&["json_valid"]) || !cursor.sign('(') {
        return None;
    }
    let name = cursor.name()?;
    (cursor.sign(')') && cursor.next().is_none()).then_some(name)
}

fn key(cursor: &mut Cursor<'_>, table: &mut Table, kind: KeyKind, name: Option<String>) -> Parsed<()> {
    let mut own = None;
    if cursor.peek() != Some(Part::Sign('(')) && !cursor.sees(&["USING"]) {
        own = cursor.name();
    }
    if cursor.takes(&["USING"]) {
        cursor.next();
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
            cursor.next();
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

fn one(kind: KeyKind, column: &str) -> Key {
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
            (0..arguments).for_each(|_| _ = cursor.next());
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
            cursor.next();
            Ok(Initial::Text(text.to_owned()))
        }
        Some(Part::Bits(digits)) => {
            cursor.next();
            Ok(Initial::Bits(digits.to_owned()))
        }
        Some(Part::Hex(digits)) => {
            cursor.next();
            Ok(Initial::Bits(bits_of_hex(digits)))
        }
        Some(Part::Word(word)) if word.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            cursor.next();
            Ok(Initial::Number(if minus { format!("-{word}") } else { word.to_owned() }))
        }
        Some(Part::Word(word)) if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false") => {
            cursor.next();
            Ok(Initial::Number(if word.eq_ignore_ascii_case("true") { "1" } else { "0" }.into()))
        }
        Some(Part::Word(word)) if word.starts_with('_') => {
            cursor.next();
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
            cursor.next();
            Ok(Initial::Expression(cursor.inside().wanted(") after DEFAULT", cursor)?))
        }
        _ => expected("a default", cursor),
    }
}

fn bits_of_hex(digits: &str) -> String {
    digits.chars().filter_map(|c| c.to_digit(16)).map(|d| format!("{d:04b}")).collect()
}

fn kind(cursor: &mut Cursor<'_>, column: &mut Column) -> Parsed<Type> {
    let Some(Part::Word(word)) = cursor.next() else { return expected("a type", cursor) };
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
            cursor.next();
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
            _ => _ = cursor.next(),
        }
    }
}

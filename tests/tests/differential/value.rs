//! Types, and values of them as the text that goes into a literal or a line of COPY.

use crate::random::Random;

/// A type that a column may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type {
    pub name: &'static str,
    values: &'static [&'static str],
    pub traits: u8,
}

/// A primary key may have it.
pub const KEY: u8 = 1;
/// `x + 1` works.
pub const NUMBER: u8 = 2;
/// `x || 'y'` works.
pub const TEXT: u8 = 4;
/// to_jsonb() would call a user's cast; SPEC 5 says that its text is written.
pub const CASTED: u8 = 8;
/// to_jsonb() fails for some of its values, so that there is nothing to hold the fold against.
pub const NO_ORACLE: u8 = 16;

const fn ty(name: &'static str, traits: u8, values: &'static [&'static str]) -> Type {
    Type { name, values, traits }
}

/// What the types below need.
pub const TYPES_SQL: &str = r#"
create type mood as enum ('sad', 'ok', 'it''s "so"', '{null}', '$value');
create type casted as enum ('x', 'y');
create function casted_to_json(casted) returns json language sql immutable as $$ select '{"user": "cast"}'::json $$;
create cast (casted as json) with function casted_to_json(casted);
create domain posint as int check (value >= -1000000);
create domain evenposint as posint;
create domain words as text[];
create type pair as (a int, "B b" text, t timestamptz);
create domain dpair as pair;
create type nest as (p pair, ps pair[], f float8, d evenposint, m mood);
create type jnest as (j json, b jsonb);
create type floatrange as range (subtype = float8);
create schema s2;
-- A search_path that would catch every unqualified call.
create schema evil;
create function evil.to_jsonb(anyelement) returns jsonb language sql as 'select null::jsonb';
create function evil.octet_length(text) returns int language sql as 'select 1/0';
create function evil.format(text, variadic anyarray) returns text language sql as 'select null::text';
create function evil.record_image_ne(record, record) returns boolean language plpgsql as 'begin return false; end';
"#;

pub const TYPES: &[Type] = &[
    ty("int", KEY | NUMBER, &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "-1", "2000000000"]),
    ty("bigint", KEY | NUMBER, &["0", "1", "2", "3", "4", "5", "-9223372036854775808", "9007199254740993"]),
    ty("smallint", KEY | NUMBER, &["0", "1", "2", "3", "-32768"]),
    ty(
        "numeric",
        KEY | NUMBER,
        &[
            "1",
            "1.0",
            "1.00",
            "-0.0",
            "0",
            "1e20",
            "1e-20",
            "NaN",
            "Infinity",
            "12345678901234567890.12345678901234567890",
            "2",
            "10000",
            "1e4",
            "0.00010000",
        ],
    ),
    ty("numeric(10,2)", KEY | NUMBER, &["1", "1.5", "-3.25", "0", "99999999.99"]),
    ty(
        "float8",
        KEY | NUMBER,
        &[
            "1",
            "1.0000000000000002",
            "0",
            "-0",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e-300",
            "0.1",
            "1e15",
            "1e22",
            "123456.789",
            "4.9e-324",
        ],
    ),
    ty("real", KEY | NUMBER, &["1", "0.1", "-0", "NaN", "1e30", "1.1754944e-38", "16777217"]),
    ty("bool", KEY, &["true", "false"]),
    ty(
        "text",
        KEY | TEXT,
        &[
            "",
            "a",
            "b",
            "ab",
            "ä€😀",
            "it's",
            "a\"b",
            "back\\slash",
            "new\nline\ttab",
            "\u{1}\u{7f}\u{2028}",
            "null",
            "{\"$value\": 1}",
            "%s %I $1",
            "'; drop table x; --",
            "  ",
            "/*",
        ],
    ),
    ty("varchar(30)", KEY | TEXT, &["", "a", "b", "ä€😀", "it's", "a b ", "\\N"]),
    ty("char(5)", KEY, &["", "a", "ab", "abcde", "ä"]),
    ty("\"char\"", KEY, &["a", "", "\\", "z"]),
    ty("name", KEY, &["a", "Some Name", ""]),
    ty("text collate \"C\"", KEY | TEXT, &["a", "B", "ä", ""]),
    ty("bytea", KEY, &["\\x", "\\x00ff", "\\x00", "\\xdeadbeef", "\\x41"]),
    ty(
        "uuid",
        KEY,
        &[
            "00000000-0000-0000-0000-000000000001",
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "00000000-0000-0000-0000-000000000002",
        ],
    ),
    ty(
        "date",
        KEY,
        &["2024-01-02", "2024-02-29", "infinity", "-infinity", "0044-03-15 BC", "5874897-12-31", "1999-12-31"],
    ),
    ty("time", KEY, &["00:00", "24:00", "12:34:56.789", "23:59:59.999999"]),
    ty("timetz", KEY, &["00:00+00", "12:34:56.7+05:30", "23:00-08"]),
    ty(
        "timestamp",
        KEY,
        &[
            "2024-01-02 03:04:05",
            "2024-01-02 03:04:05.678901",
            "infinity",
            "0044-03-15 00:00 BC",
            "294276-12-31 23:59:59",
            "-infinity",
        ],
    ),
    ty("timestamp(0)", KEY, &["2024-01-02 03:04:05", "2024-01-02 03:04:05.6"]),
    ty(
        "timestamptz",
        KEY,
        &[
            "2024-01-02 03:04:05+00",
            "2024-07-02 23:04:05.6789+09",
            "infinity",
            "0044-03-15 00:00+00 BC",
            "-infinity",
            "1850-01-01 00:00+00",
            "2024-03-31 01:30+00",
        ],
    ),
    ty(
        "interval",
        KEY,
        &[
            "1 mon",
            "30 days",
            "1 day",
            "24:00",
            "00:00",
            "-1 year +2 mons -3 days 04:05:06.789",
            "-00:00:01",
            "1 mon -1 day",
            "178000000 years",
        ],
    ),
    ty("interval day to second", KEY, &["1 day", "1 day 02:03:04.5"]),
    ty("inet", KEY, &["10.0.0.1", "10.0.0.1/24", "::1", "::ffff:1.2.3.4/96", "10.0.0.0/8"]),
    ty("cidr", KEY, &["10.0.0.0/8", "2001:db8::/32", "192.168.1.0/24"]),
    ty("macaddr", KEY, &["08:00:2b:01:02:03", "08002b:010204"]),
    ty("money", KEY, &["1", "-5.25", "1234567.89", "0"]),
    ty("bit(3)", KEY, &["101", "000"]),
    ty("varbit", KEY, &["101", "", "0"]),
    ty("pg_lsn", KEY, &["0/0", "16/B374D848"]),
    ty("oid", KEY, &["0", "4294967295", "26"]),
    ty("xid8", 0, &["0", "18446744073709551615"]),
    ty("mood", KEY, &["sad", "ok", "it's \"so\"", "{null}", "$value"]),
    ty("casted", KEY | CASTED, &["x", "y"]),
    ty("posint", KEY | NUMBER, &["1", "2", "3", "0"]),
    ty("evenposint", KEY | NUMBER, &["2", "4", "0"]),
    ty("words", KEY, &["{}", "{a,b}", "{{a,b},{c,d}}", "{NULL}", "{\"a \\\"b\"}"]),
    ty(
        "int[]",
        KEY,
        &[
            "{}",
            "{1,2}",
            "{{1,2},{3,4}}",
            "[0:1]={1,2}",
            "{NULL,1}",
            "{{{1},{2}},{{3},{4}}}",
            "[-1:0][2:2]={{1},{2}}",
            "{1}",
        ],
    ),
    ty("text[]", KEY, &["{}", "{a}", "{\"\"}", "{NULL,\"NULL\",\"a,b\",\"\\\\\"}", "{{a,b}}"]),
    ty("numeric[]", KEY, &["{1.0,1.00}", "{NaN}", "{1.0}", "{1.00}"]),
    ty("timestamptz[]", KEY, &["{2024-01-02 03:04:05+00}", "{infinity,NULL}", "{}"]),
    ty("float8[]", KEY, &["{0.1,NaN,-0}", "{}", "{1e22}"]),
    ty("bytea[]", KEY, &["{\"\\\\x00ff\"}", "{}"]),
    ty("mood[]", KEY, &["{sad,ok}", "{}", "{NULL,sad}", "{{sad},{ok}}", "{\"{null}\"}"]),
    ty("casted[]", CASTED, &["{x,y}", "{}", "{NULL,x}", "{{x,y},{y,x}}", "[3:4]={x,NULL}"]),
    ty("evenposint[]", KEY, &["{2,4}", "{}", "{NULL}"]),
    ty(
        "json[]",
        NO_ORACLE,
        &["{}", "{\"{\\\"a\\\": 1}\",NULL,null}", "{\"null\"}", "{\"\\\"\\\\u0000\\\"\"}", "{{1,2},{3,4}}"],
    ),
    ty("jsonb[]", 0, &["{}", "{\"{\\\"a\\\": 1.0}\",NULL,\"null\"}", "{\"{\\\"$value\\\": 1}\"}"]),
    ty("pair", KEY, &["(1,x,2024-01-02 03:04:05+00)", "(,,)", "(2,\"a,\"\"b\",)", "(,\"\",infinity)"]),
    ty("pair[]", KEY, &["{}", "{\"(1,x,)\",NULL,\"(,,)\"}", "{{\"(1,a,)\"},{\"(2,b,2024-01-01 00:00+00)\"}}"]),
    ty("dpair", KEY, &["(1,x,)", "(,,)"]),
    ty(
        "nest",
        KEY,
        &["(,,,,)", "(\"(1,x,)\",\"{\"\"(2,y,)\"\",NULL}\",0.1,4,sad)", "(\"(,,)\",{},NaN,,\"it's \"\"so\"\"\")"],
    ),
    ty("jnest", NO_ORACLE, &["(,)", "(null,null)", "(\"{\"\"a\"\":  1}\",\"{\"\"$value\"\": 1}\")", "(1e500000,1)"]),
    ty("int4range", KEY, &["[1,5)", "empty", "(,)", "[1,1]", "(,3)"]),
    ty("numrange", KEY, &["[1.0,2.00)", "[1.00,2.0)", "empty"]),
    ty("tstzrange", KEY, &["[2024-01-02 03:04:05+00,)", "empty", "[-infinity,infinity]", "(,2024-01-02 03:04:05+09]"]),
    ty("daterange", KEY, &["[2024-01-01,2024-02-01)", "empty", "(,)"]),
    ty("floatrange", KEY, &["[0.1,1)", "empty", "[1e22,NaN)"]),
    ty("int4multirange", KEY, &["{}", "{[1,2),[5,7)}"]),
    ty("tstzmultirange", KEY, &["{}", "{[2024-01-02 03:04:05+00,2024-01-03 03:04:05+00)}"]),
    ty(
        "json",
        0,
        &[
            "null",
            "1",
            "1.0",
            "{\"a\":1,\"b\":2}",
            "{\"b\":2,  \"a\":1}",
            "{\"a\":1,\"a\":2}",
            "\"\\u0000\"",
            "1e500000",
            "{\"$value\":\"x\"}",
            "[1, [2, {\"$value\": null}]]",
            "\"\\ud800\"",
            "\"\\ud83d\\ude00\"",
            " {} ",
            "[]",
            "\"\"",
        ],
    ),
    ty(
        "jsonb",
        KEY,
        &[
            "null",
            "1",
            "1.0",
            "1.00",
            "{}",
            "[]",
            "{\"a\": {\"b\": [1, null, \"ä\"]}}",
            "{\"$value\": \"literal\", \"of\": 1}",
            "{\"$value\": null}",
            "\"$value\"",
            "[{\"$value\": 1}]",
            "true",
            "\"\"",
            "1e-30",
        ],
    ),
    ty("jsonpath", 0, &["$", "$.a[*] ? (@ > 1)"]),
    ty("xml", 0, &["<a/>", "<a>ä</a>", ""]),
    ty("point", 0, &["(1,2)", "(0.1,-0)", "(NaN,Infinity)", "(1.0000000000000002,1e22)"]),
    ty("box", 0, &["(2,2),(1,1)", "(0.1,0.1),(0,0)"]),
    ty("circle", 0, &["<(0.1,1),2>"]),
    ty("path", 0, &["[(0,0),(1.1,1)]", "((0,0),(1,1))"]),
    ty("tsvector", KEY, &["'a':1 'b':2", "", "'it''s':3A"]),
    ty("tsquery", KEY, &["'a' & 'b'", "!'c'"]),
    ty("txid_snapshot", 0, &["10:20:10,14,15"]),
];

/// Types that may hold a long value, written as SQL since it would not be read in a script.
const LONG: &[(&str, &[&str])] = &[
    (
        "text",
        &[
            "repeat('x', 5000)",
            "(select string_agg(md5(i::text), '') from generate_series(1, 300) i)",
            "repeat('ä', 70000)",
        ],
    ),
    (
        "bytea",
        &[
            "decode(repeat('ab', 5000), 'hex')",
            "(select string_agg(sha256(i::text::bytea), '') from generate_series(1, 300) i)",
        ],
    ),
    (
        "jsonb",
        &[
            "(select jsonb_agg(md5(i::text)) from generate_series(1, 300) i)",
            "jsonb_build_object('k', repeat('y', 9000))",
        ],
    ),
    ("json", &["(select json_agg(md5(i::text)) from generate_series(1, 300) i)"]),
    ("int[]", &["array(select i from generate_series(1, 2000) i)"]),
    ("numeric", &["repeat('9', 3000)::numeric", "(repeat('7', 20) || '.' || repeat('12', 900))::numeric"]),
];

impl Type {
    pub fn is(&self, this: u8) -> bool {
        self.traits & this != 0
    }

    /// The text of a value.
    pub fn text(&self, random: &mut Random) -> String {
        if self.is(NUMBER) && random.percent(40) {
            return random.between(0, 12).to_string();
        }
        (*random.pick(self.values)).to_owned()
    }

    /// A value as SQL, sometimes NULL, sometimes long.
    pub fn sql(&self, random: &mut Random, nullable: bool) -> String {
        if nullable && random.percent(15) {
            return "null".into();
        }
        if nullable
            && random.percent(6)
            && let Some((_, values)) = LONG.iter().find(|(name, _)| *name == self.name)
        {
            return (*random.pick(values)).to_owned();
        }
        let mut text = self.text(random);
        while text.is_empty() && !nullable && random.no_empty {
            text = self.text(random);
        }
        self.literal(&text)
    }

    /// A literal of the type.
    pub fn literal(&self, text: &str) -> String {
        format!("{}::{}", quote(text), self.name.split(" collate ").next().unwrap_or(self.name))
    }
}

/// A string literal.
pub fn quote(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// A quoted identifier.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A field of a line of COPY in text format.
pub fn copy_field(value: Option<&str>) -> String {
    match value {
        None => "\\N".into(),
        Some(text) => text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r"),
    }
}

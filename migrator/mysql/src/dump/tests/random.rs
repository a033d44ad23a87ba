//! Random statements and rows come back whole, in whatever pieces they are read; no text stops the reader.

use proptest::prelude::*;

use super::super::*;
use super::rows::{Want, rows};
use super::{folded, read, text};

fn value() -> impl Strategy<Value = Want> {
    prop_oneof![
        Just(Want::Null),
        prop::collection::vec(any::<u8>(), 0..24).prop_map(Want::Text),
        "[ -~\\n\\t'\"\\\\;]{0,20}".prop_map(|s| Want::Text(s.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Want::Binary),
        any::<i64>().prop_map(|n| Want::Number(n.to_string())),
    ]
}

fn render(want: &Want, style: u8) -> Vec<u8> {
    let quoted = |bytes: &[u8]| {
        let mut out = vec![b'\''];
        for b in bytes {
            match *b {
                b'\'' if style.is_multiple_of(2) => out.extend_from_slice(b"''"),
                b'\'' => out.extend_from_slice(b"\\'"),
                b'\\' => out.extend_from_slice(b"\\\\"),
                0 => out.extend_from_slice(b"\\0"),
                b'\n' if !style.is_multiple_of(3) => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                0x1a => out.extend_from_slice(b"\\Z"),
                b'"' if style.is_multiple_of(2) => out.extend_from_slice(b"\\\""),
                b => out.push(b),
            }
        }
        out.push(b'\'');
        out
    };
    match want {
        Want::Null => b"NULL".to_vec(),
        Want::Text(bytes) => quoted(bytes),
        Want::Binary(bytes) if style.is_multiple_of(3) => [b"_binary ".to_vec(), quoted(bytes)].concat(),
        Want::Binary(bytes) if bytes.is_empty() => b"x''".to_vec(),
        Want::Binary(bytes) => {
            let hex: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
            if style.is_multiple_of(2) { format!("0x{hex}") } else { format!("x'{hex}'") }.into_bytes()
        }
        Want::Number(text) => text.clone().into_bytes(),
        Want::Default | Want::Expression(_) => b"DEFAULT".to_vec(),
    }
}

/// Statements whose text must come back as it is.
fn statement() -> impl Strategy<Value = String> {
    let literal = "[ a-z;$/'\"`-]{0,12}".prop_map(|s| format!("'{}'", s.replace('\'', "''")));
    let name = "[a-z ;'$]{1,8}".prop_map(|s| format!("`{s}`"));
    let plain = (name.clone(), literal.clone()).prop_map(|(n, l)| format!("SELECT {l} AS {n} -- it's; a comment\n, 1"));
    let leaf = (name, literal).prop_map(|(n, l)| format!("SET {n} = {l};\n"));
    let block = leaf.prop_recursive(3, 12, 3, |inner| {
        let many = prop::collection::vec(inner, 1..3).prop_map(|v| v.concat());
        prop_oneof![
            many.clone().prop_map(|b| format!("IF CASE WHEN a THEN IF(b, 1, 2) END THEN\n{b}ELSE\n{b}END IF;\n")),
            many.clone().prop_map(|b| format!("l: LOOP\n{b}LEAVE l;\nEND LOOP l;\n")),
            many.clone().prop_map(|b| format!("CASE x WHEN 1 THEN\n{b}END CASE;\n")),
            many.clone().prop_map(|b| format!("WHILE x DO {b}END WHILE;\n")),
            many.clone().prop_map(|b| format!("REPEAT {b}UNTIL x END REPEAT;\n")),
            many.prop_map(|b| format!("BEGIN\n# don't\n{b}/* ; */END;\n")),
        ]
    });
    let head = prop_oneof![
        Just("CREATE TRIGGER t AFTER UPDATE ON u FOR EACH ROW"),
        Just("CREATE DEFINER=`a`@`b` FUNCTION f(a INT) RETURNS INT DETERMINISTIC"),
        Just("CREATE PROCEDURE p(IN a CHAR(1))"),
        Just("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO"),
    ];
    let program =
        (head, prop::collection::vec(block, 1..3)).prop_map(|(h, b)| format!("{h}\nBEGIN\n{}END", b.concat()));
    prop_oneof![plain, program]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn statements_come_back_whole(
        statements in prop::collection::vec(statement(), 1..6),
        style in 0..9usize,
        sizes in prop::collection::vec(1..40usize, 0..5),
    ) {
        let mut script = String::new();
        for one in &statements {
            script.push_str(&match style {
                0 => format!("{one};\n"),
                1 => format!("DELIMITER ;;\n/*!50003 {one} */;;\nDELIMITER ;\n"),
                2 => format!("DELIMITER |\n{one} |\nDELIMITER ;\n"),
                3 => format!("DELIMITER ^^\n{one}\n^^\n\n"),
                4 => format!("/*M!100301 {one} */;\n"),
                5 => format!("DELIMITER ^^\r\n{one} ;\r\n^^\r\nDELIMITER ;\r\n"),
                6 => format!("{one}^;\n"),
                7 => format!("-- it's\n{one};\n/* it's; */\n"),
                _ => format!("\n\n  {one} ; "),
            });
        }
        let pieces = read(script.as_bytes(), &sizes);
        let got: Vec<_> = pieces.iter().map(|p| text(p).trim_end_matches(';').trim_end().to_owned()).collect();
        let want: Vec<_> = statements.iter().map(|s| folded(s)).collect();
        prop_assert_eq!(got, want, "{}", script);
        // lines and columns are true
        for piece in &pieces {
            let Piece::Statement(s) = piece else { continue };
            let line = script.lines().nth(s.line as usize - 1).unwrap_or_default();
            let first = s.text.lines().next().unwrap_or_default();
            prop_assert!(line[s.column as usize - 1..].starts_with(first.split(' ').next().unwrap_or_default()));
        }
    }

    #[test]
    fn rows_come_back_whole(
        values in prop::collection::vec(prop::collection::vec(value(), 1..5), 1..6),
        style in 0..6u8,
        sizes in prop::collection::vec(1..40usize, 0..5),
    ) {
        let tuples: Vec<Vec<u8>> = values
            .iter()
            .map(|row| {
                let fields: Vec<_> = row.iter().map(|v| render(v, style)).collect();
                [b"(".to_vec(), fields.join(&b", "[..]), b")".to_vec()].concat()
            })
            .collect();
        let script = match style {
            0 => [b"INSERT INTO `t` VALUES ".to_vec(), tuples.join(&b","[..]), b";\n".to_vec()].concat(),
            1 => [b"REPLACE INTO `t` (`a`) VALUES\n".to_vec(), tuples.join(&b",\n"[..]), b";\n".to_vec()].concat(),
            2 => tuples.iter().map(|t| [b"INSERT INTO t VALUES ".to_vec(), t.clone(), b";\n".to_vec()].concat()).collect::<Vec<_>>().concat(),
            _ => [b"DELIMITER $$\ninsert t values".to_vec(), tuples.join(&b" , "[..]), b"$$".to_vec()].concat(),
        };
        let (got, bad) = rows(&script, &sizes);
        prop_assert_eq!(bad, vec![]);
        let got: Vec<_> = got.into_iter().map(|(_, v)| v).collect();
        prop_assert_eq!(got, values);
        prop_assert_eq!(read(&script, &sizes).iter().filter(|p| !matches!(p, Piece::Insert(_))).count(), 0);
    }

    #[test]
    fn no_text_stops_it(bytes in prop::collection::vec(prop_oneof![
        Just(b"/*!50003 ".to_vec()), Just(b"*/".to_vec()), Just(b"DELIMITER ".to_vec()), Just(b"INSERT INTO t VALUES (".to_vec()),
        Just(b"BEGIN ".to_vec()), Just(b"END".to_vec()), Just(b";".to_vec()), Just(b"$$\n".to_vec()), Just(b"CREATE TRIGGER ".to_vec()),
        Just(b"FOR EACH ROW ".to_vec()), Just(b"'".to_vec()), Just(b"\\".to_vec()), Just(b"(".to_vec()), Just(b")".to_vec()),
        prop::collection::vec(any::<u8>(), 0..4)], 0..40)) {
        let script = bytes.concat();
        let whole: Vec<_> = read(&script, &[]);
        prop_assert_eq!(&whole, &read(&script, &[1]));
        let _ = rows(&script, &[3]);
    }
}

//! Files in any state: cut off anywhere, with a quote or a dollar too many, they are read as far as they go.

use std::fs;
use std::path::Path;

use domain_events::judge::judge;
use domain_events::source::from_sql;

#[test]
fn a_file_that_is_cut_or_damaged_is_read_all_the_same() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let after = "\ncreate table witness (id int primary key);\ncreate trigger nobody after insert on witness for each row execute function f();\n";
    let (mut read, mut broken) = (0, 0);
    for entry in fs::read_dir(corpus).expect("tests/corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "sql") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a schema");
        let whole = text.len();
        for at in (0..whole).step_by(whole / 3 + 1).filter(|at| text.is_char_boundary(*at)) {
            for damage in ["", "'", "$$", "\"", "/*"] {
                let damaged =
                    format!("{}{damage}{}{after}", &text[..at], if damage.is_empty() { "" } else { &text[at..] });
                let (catalogue, problems) = from_sql([("a.sql", damaged.as_str())]);
                judge(&catalogue);
                read += 1;
                // what follows is found, unless a quote further on was taken for the end of the one too many
                let witness = catalogue.relations.iter().any(|r| r.name == "witness");
                assert!(witness || !problems.is_empty(), "{} at {at} with {damage:?}", path.display());
                broken += usize::from(!witness);
            }
        }
    }
    assert!(read > 1000, "{read}");
    assert!(broken * 20 < read, "in {broken} of {read} damaged files the last statement was lost");
}

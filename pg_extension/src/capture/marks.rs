//! What the store says of an event itself, in its metadata: docs/event-order.md.

use pgrx::pg_sys::Datum;

use crate::bytes::Bytes;
use crate::error::Result;
use crate::jsonb::Writer;
use crate::numeric;
use crate::pg::{datum, delegate};

/// `{"late": true, "complete": true, "in_table": "s.t",
/// "after_version": n, "before_failure": n}`, as far as it applies. `place`: see domain_events._late_marks().
pub fn marks(complete: bool, place: Option<i64>, in_table: Option<&[u8]>) -> Result<Option<Datum>> {
    let letter = place.filter(|place| *place < 0).map(|place| -place);
    let after_version = match letter {
        Some(letter) => delegate::failed_after(letter)?,
        None => place,
    };
    // In the order of JSONB's keys.
    let marks = [
        after_version.map(|_| (b"late".as_slice(), Mark::True)),
        complete.then_some((b"complete".as_slice(), Mark::True)),
        in_table.map(|name| (b"in_table".as_slice(), Mark::Text(name))),
        after_version.map(|version| (b"after_version".as_slice(), Mark::Number(version))),
        letter.map(|letter| (b"before_failure".as_slice(), Mark::Number(letter))),
    ];
    let marks: Vec<_> = marks.into_iter().flatten().collect();
    Ok((!marks.is_empty()).then(|| object(&marks)))
}

enum Mark<'a> {
    True,
    Number(i64),
    Text(&'a [u8]),
}

fn object(marks: &[(&[u8], Mark)]) -> Datum {
    let build = |writer: &mut Writer| {
        let mut object = writer.object(marks.iter().map(|(key, _)| *key))?;
        for (_, mark) in marks {
            let entry = match mark {
                Mark::True => writer.bool(true),
                Mark::Text(text) => writer.string(text)?,
                Mark::Number(number) => {
                    let mut image = Bytes::new();
                    numeric::from_i64(*number, &mut image);
                    writer.numeric(&image)?
                }
            };
            writer.add(&mut object, entry)?;
        }
        writer.end(object)
    };
    let mut writer = Writer::default();
    match build(&mut writer) {
        Ok(_) => datum::varlena(writer.bytes()),
        Err(error) => error.raise(),
    }
}

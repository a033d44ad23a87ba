//! What a reader saw, compared with what is stored.

use std::{collections::HashMap, fmt};

use domain_events_tests::Db;

use crate::reader::{Reader, Seen};

/// What is stored in the end: the events that somebody wants, by id.
pub struct Truth(HashMap<String, Stored>);

pub struct Stored {
    stream: String,
    version: i64,
    pub position: i64,
    /// Microseconds since 1970; None where the server does not know, as after a restore.
    committed: Option<i64>,
}

/// A line of the table.
pub struct Verdict {
    reader: String,
    pub events: usize,
    pub lost: usize,
    pub twice: usize,
    /// Events that came after a later one of their stream.
    pub inverted: usize,
    /// Events that were handed out and are not stored.
    pub phantoms: usize,
    /// Seen minus committed, in milliseconds: median, 95 of 100, longest.
    lag: Option<[f64; 3]>,
    /// The first of what is wrong.
    examples: Vec<String>,
}

impl Truth {
    pub fn of(db: &Db, wanted: &str) -> Truth {
        let rows = db.admin().rows(&format!(
            "select event_id, aggregate_type || '/' || aggregate_id, aggregate_version, global_position,
                    case when current_setting('track_commit_timestamp')::bool
                         then (extract(epoch from pg_xact_commit_timestamp(transaction_id::xid)) * 1000000)::bigint end
               from domain_events.events where {wanted}"
        ));
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
        let stored = |row: &[Option<String>]| {
            Some((
                row[0].clone()?,
                Stored {
                    stream: row[1].clone()?,
                    version: number(row[2].as_deref())?,
                    position: number(row[3].as_deref())?,
                    committed: number(row[4].as_deref()),
                },
            ))
        };
        Truth(rows.iter().map(|row| stored(row).expect("an event")).collect())
    }

    pub fn get(&self, id: &str) -> Option<&Stored> {
        self.0.get(id)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Which positions were drawn and are no event's.
    pub fn burnt(&self) -> i64 {
        self.0.values().map(|stored| stored.position).max().unwrap_or(0) - self.0.len() as i64
    }
}

impl Verdict {
    pub fn on(reader: &Reader<'_>, truth: &Truth) -> Verdict {
        let mut verdict = Verdict {
            reader: reader.name.clone(),
            events: reader.seen.len(),
            lost: 0,
            twice: 0,
            inverted: 0,
            phantoms: 0,
            lag: None,
            examples: Vec::new(),
        };
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut newest: HashMap<&str, i64> = HashMap::new();
        let mut lag = Vec::new();
        for (place, Seen { id, stream, version, at }) in reader.seen.iter().enumerate() {
            let Some(stored) = truth.get(id).filter(|s| (&s.stream, s.version) == (stream, *version)) else {
                verdict.phantoms += 1;
                verdict.note(format!("phantom: {stream} version {version}, {id}, seen as {}", reader.page_of(place)));
                continue;
            };
            let example =
                format!("{stream} version {version} at {}, seen as {}", stored.position, reader.page_of(place));
            if let Some(first) = places.get(id.as_str()) {
                verdict.twice += 1;
                verdict.note(format!("twice: {example}, before as {}", reader.page_of(*first)));
                continue;
            }
            places.insert(id, place);
            let newest = newest.entry(stream).or_default();
            if *version <= *newest {
                verdict.inverted += 1;
                verdict.note(format!("inverted: {example}, behind version {newest}"));
            }
            *newest = (*newest).max(*version);
            lag.extend(stored.committed.map(|committed| (at - committed) as f64 / 1000.0));
        }
        for (id, stored) in truth.0.iter().filter(|(id, _)| !places.contains_key(id.as_str())) {
            verdict.lost += 1;
            verdict.note(format!("lost: {} version {} at {}, {id}", stored.stream, stored.version, stored.position));
        }
        lag.sort_by(f64::total_cmp);
        let share = |percent: usize| lag[(lag.len() * percent / 100).min(lag.len() - 1)];
        verdict.lag = (!lag.is_empty()).then(|| [share(50), share(95), share(100)]);
        verdict
    }

    fn note(&mut self, example: String) {
        if self.examples.len() < 8 {
            self.examples.push(example);
        }
    }

    pub fn is_clean(&self) -> bool {
        (self.lost, self.twice, self.inverted, self.phantoms) == (0, 0, 0, 0)
    }

    pub const HEAD: &str =
        "reader                             events     lost  twice  inverted  phantoms  lag ms p50       p95       max";
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { reader, events, lost, twice, inverted, phantoms, .. } = self;
        write!(f, "{reader:<32} {events:>8} {lost:>8} {twice:>6} {inverted:>9} {phantoms:>9}")?;
        match self.lag {
            Some([median, most, longest]) => write!(f, "  {median:>10.1} {most:>9.1} {longest:>9.1}"),
            None => Ok(()),
        }
    }
}

/// Prints the table and insists on what is promised of readers with cursors: each event once, each stream in order, nothing
/// that is not stored.
pub fn judge(title: &str, db: &Db, readers: &[Reader<'_>]) -> Vec<Verdict> {
    let verdicts: Vec<Verdict> =
        readers.iter().map(|reader| Verdict::on(reader, &Truth::of(db, reader.wanted))).collect();
    let lines: Vec<String> = verdicts.iter().map(Verdict::to_string).collect();
    println!("{title}\n{}\n{}", Verdict::HEAD, lines.join("\n"));
    let wrong: Vec<String> = readers
        .iter()
        .zip(&verdicts)
        .filter(|(reader, verdict)| reader.has_cursor() && !verdict.is_clean())
        .map(|(reader, verdict)| format!("{}, {:?}: {:#?}", reader.name, reader.counts, verdict.examples))
        .collect();
    assert!(wrong.is_empty(), "{title}: {}", wrong.join("\n"));
    verdicts
}

/// Whatever readers and crashes do, the numbers of a server go on: no era needs a moment in which nobody writes.
pub fn one_era(db: &Db) {
    assert_eq!(db.admin().table("select distinct boundary from domain_events.eras"), "0");
}

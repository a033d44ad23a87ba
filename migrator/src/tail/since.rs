//! A time as people write it: when, or how long ago.

use std::str::FromStr;

use domain_events_sql::quote::quote_literal;

/// From when on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// So many seconds ago.
    Ago(u64),
    /// Then, in PostgreSQL's words, with a zone.
    At(String),
}

const EXPECTED: &str =
    "a time such as 2026-11-30T08:15:00Z, a day such as 2026-11-30, or how long ago: 90s, 15m, 2h, 7d";

impl Since {
    /// The time, by the server's clock.
    pub fn sql(&self) -> String {
        match self {
            Self::Ago(seconds) => format!("pg_catalog.clock_timestamp() - interval '{seconds} seconds'"),
            Self::At(time) => format!("{}::timestamptz", quote_literal(time)),
        }
    }
}

impl FromStr for Since {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        ago(text).map(Self::Ago).or_else(|| at(text).map(Self::At)).ok_or(EXPECTED)
    }
}

fn ago(text: &str) -> Option<u64> {
    // a hundred years
    const LONGEST: u64 = 3_155_760_000;
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    number(&text[..text.len() - 1])?.checked_mul(seconds).filter(|seconds| *seconds <= LONGEST)
}

/// RFC 3339, of which the seconds, the time and the zone may be left out.
fn at(text: &str) -> Option<String> {
    let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let [year, month, day] = parts(day, '-')?;
    let (year, month, day) = (fixed(year, 4)?, within(month, 1, 12)?, within(day, 1, 31)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year == 0 || day > last {
        return None;
    }
    let (time, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => (&time[..at], &time[at..]),
        None => (time, "Z"),
    };
    let zone = match zone {
        "Z" => "+00:00".to_owned(),
        zone => {
            let (sign, zone) = zone.split_at(1);
            let (hours, minutes) = zone.split_once(':').unwrap_or((zone, "00"));
            format!("{sign}{:02}:{:02}", within(hours, 0, 14)?, within(minutes, 0, 59)?)
        }
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let seconds = if time.len() > 5 { time } else { &format!("{time}:00") };
    let [hour, minute, second] = parts(seconds, ':')?;
    let (hour, minute, second) = (within(hour, 0, 23)?, within(minute, 0, 59)?, within(second, 0, 59)?);
    number(fraction).filter(|_| fraction.len() <= 9)?;
    Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{fraction}{zone}"))
}

fn parts(text: &str, between: char) -> Option<[&str; 3]> {
    text.split(between).collect::<Vec<_>>().try_into().ok()
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn fixed(text: &str, digits: usize) -> Option<u64> {
    number(text).filter(|_| text.len() == digits)
}

fn within(text: &str, least: u64, most: u64) -> Option<u64> {
    fixed(text, 2).filter(|n| (least..=most).contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604_800)] {
            assert_eq!(text.parse(), Ok(Since::Ago(seconds)), "{text}");
        }
        for (text, time) in [
            ("2026-11-30", "2026-11-30 00:00:00.0+00:00"),
            ("2026-11-30T08:15", "2026-11-30 08:15:00.0+00:00"),
            ("2026-11-30 08:15:07", "2026-11-30 08:15:07.0+00:00"),
            ("2026-11-30T08:15:07.123456Z", "2026-11-30 08:15:07.123456+00:00"),
            ("2026-11-30T08:15:07+05:30", "2026-11-30 08:15:07.0+05:30"),
            ("2024-02-29T08:15-08", "2024-02-29 08:15:00.0-08:00"),
        ] {
            assert_eq!(text.parse(), Ok(Since::At(time.into())), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "h",
            "10",
            "-5m",
            "5 m",
            "1.5h",
            "99999999999999999999s",
            "yesterday",
            "2026-13-01",
            "2026-02-29",
            "2026-11-31",
            "0000-01-01",
            "26-11-30",
            "2026-11-30T",
            "2026-11-30T25:00",
            "2026-11-30T08:15:07.",
            "2026-11-30T08:15:07+99:00",
            "2026-11-30T08:15:07Zulu",
            "2026-11-30'; drop",
            "é",
            "2026-11-3é",
        ] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }
}

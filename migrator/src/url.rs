//! URLs of databases: none of their passwords gets into a message, a file, the journal or the list of processes, whatever is
//! wrong with the URL.

use std::borrow::Cow;

/// What stands in the place of a password.
const MASK: &str = "***";

/// Parameters of a URL, or of a text of keywords and values, that hold a secret.
const SECRETS: [&str; 8] = ["password", "passwd", "pwd", "pass", "sslpassword", "passphrase", "secret", "token"];

/// Parameters whose values may hold an `@`.
const FREE: [&str; 9] = [
    "password",
    "sslpassword",
    "user",
    "options",
    "application_name",
    "fallback_application_name",
    "passfile",
    "host",
    "socket",
];

/// Whether the parts of a URL are told from each other without doubt. A password with a `/`, `?`, `#` or `@` that is not
/// escaped ends where the driver believes, and its rest would become a host, a port or a database, and be shown as such.
pub fn check(url: &str) -> Result<(), String> {
    let escape =
        "a special character of the password is not escaped: write / as %2F, ? as %3F, # as %23, @ as %40, : as %3A";
    let Some((_, rest)) = url.split_once("://") else { return Err("it has no scheme".into()) };
    if rest.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err("it holds a blank or a control character: write them as %XX".into());
    }
    if rest.contains('#') {
        return Err(escape.into());
    }
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    if path.contains('@') {
        return Err(escape.into());
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else { return Err(escape.into()) };
        if !key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']')) {
            return Err(escape.into());
        }
        let free = FREE.contains(&key.to_ascii_lowercase().as_str());
        if value.contains('@') && (!free || !authority.contains('@') && authority.contains(':')) {
            return Err(escape.into());
        }
    }
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    for place in place.split(',') {
        let port = match place.rsplit_once(']') {
            Some((_, rest)) => rest.strip_prefix(':'),
            None => place.rsplit_once(':').map(|(_, port)| port),
        };
        if port.is_some_and(|port| !port.is_empty() && port.parse::<u16>().is_err()) {
            return Err("its port is no number".into());
        }
    }
    Ok(())
}

/// What stands before `://`, if it is a scheme: anything else may be a password.
pub fn scheme(url: &str) -> &str {
    let scheme = url.split("://").next().unwrap_or_default();
    let fits = scheme.len() <= 20 && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if fits { scheme } else { "this" }
}

/// Whether a text holds what looks like a password.
pub fn has_secret(text: &str) -> bool {
    redacted(text) != text
}

/// A text that may hold URLs, `user:password@host` or `password=..`, without the passwords.
pub fn redacted(text: &str) -> Cow<'_, str> {
    if !text.contains(['@', '=']) && !text.contains("://") {
        return Cow::Borrowed(text);
    }
    Cow::Owned(of_keywords(&of_urls(text)))
}

// `scheme://user:PASSWORD@host`, and the same without a scheme. A password may hold anything, blanks and what looks like the
// parts of a URL too: its end is the last `@` of the text, wherever that is.
// A scheme behind a blank or a quote begins a URL within a message, and the URL goes on to the last `@` and its host, over blanks
// too. Where a `:` stands before it, the message may as well be `user: password` with such a password: then nothing is shown of
// what is between the scheme and the host.
fn of_urls(text: &str) -> String {
    let begin = after_scheme(text);
    // A password may look like the beginning of a URL: no blank is between `user:` and that.
    let begin = begin.filter(|from| !(text[*from..].contains('@') && ends_in_user(&text[..from - 3])));
    let from = begin.unwrap_or(0);
    let rest = &text[from..];
    // Who knows what is the user there, and what the password.
    if begin.is_some()
        && (!SCHEMES.iter().any(|scheme| text[..from].ends_with(scheme)) || text[..from - 3].contains(':'))
        && let Some(at) = rest.rfind('@')
    {
        return format!("{}{MASK}{}", &text[..from], &rest[at..]);
    }
    let Some(colon) = rest.find(':') else { return text.to_owned() };
    // of a URL's parameters, below
    if rest[..colon].contains(['?', '=']) && !rest[..colon].contains('@') {
        return text.to_owned();
    }
    let masked = |end: usize| format!("{}{MASK}{}", &text[..from + colon + 1], &text[from + end..]);
    match rest.rfind('@') {
        Some(at) if at > colon => masked(at),
        Some(_) => text.to_owned(),
        // no host follows: a port is a number, anything else was meant as a password
        None if begin.is_some() => {
            let end = rest[colon..].find(['/', '?', ' ']).map_or(rest.len(), |n| colon + n);
            let port = &rest[colon + 1..end];
            if port.chars().all(|c| c.is_ascii_digit()) || rest.starts_with('[') {
                text.to_owned()
            } else {
                masked(end)
            }
        }
        None if rest.contains("://") => masked(rest.len()),
        None => text.to_owned(),
    }
}

const SCHEMES: [&str; 4] = ["postgres://", "postgresql://", "mysql://", "mariadb://"];

fn ends_in_user(text: &str) -> bool {
    text.rsplit(char::is_whitespace).next().is_some_and(|word| word.contains(':'))
}

// Behind `scheme://` of a URL that begins the text, or a word of it.
fn after_scheme(text: &str) -> Option<usize> {
    let at = text.find("://")?;
    let before = text[..at].trim_end_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let begins =
        before.chars().next_back().is_none_or(|c| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | '(' | '='));
    (before.len() < at && begins).then_some(at + 3)
}

// `?password=..&`, `password='..'`
fn of_keywords(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(equals) = rest.find('=') {
        let (before, after) = rest.split_at(equals + 1);
        out.push_str(before);
        let key = before[..equals].trim_end();
        let key =
            key.rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '%'))).next().unwrap_or_default();
        let key = percent_decoded(key).to_ascii_lowercase();
        if !SECRETS.iter().any(|secret| key.ends_with(secret)) {
            rest = after;
            continue;
        }
        let value = after.trim_start();
        out.push_str(&after[..after.len() - value.len()]);
        let end = match value.chars().next() {
            Some(quote @ ('\'' | '"')) => quoted_end(value, quote),
            // of a URL, a blank is part of it
            _ => value.find(['&', ' ', '\t', '\n']).unwrap_or(value.len()),
        };
        out.push_str(MASK);
        rest = &value[end..];
    }
    out.push_str(rest);
    out
}

fn quoted_end(value: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in value.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    value.len()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = vec![];
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_in_which_a_password_may_be_cut_is_refused() {
        for good in [
            "postgres://me:s3cret@h:5432/db",
            "postgres://me:p%40s%2Fs@h/db?sslmode=require&connect_timeout=3",
            "postgresql:///db?host=/tmp&user=me",
            "postgres://me@/db?host=/run/x",
            "postgres://h/db?user=me&password=p@ss",
            "postgres://[::1]:5433/db",
            "postgres://me:p@ss@h/db",
            "mysql://me:s3cret@h:3306/shop?socket=/run/m.sock",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "postgres://me:s3cret#x@h/db",
            "postgres://me:12345#x@h/db",
            "postgres://me:12345/x@h/db",
            "postgres://me:12345?x@h/db",
            "postgres://me:12345?x=1@h/db",
            "postgres://me:s3@cret/x@h/db",
            "postgres://me:s3@cret?password=x@h/db#",
            "postgres://me:s3cret@h:port/db",
            "postgres://me:s3cret",
            "postgres://me:s3 cret@h/db",
            "me:s3cret@h/db",
        ] {
            let why = check(bad).expect_err(bad);
            assert!(!why.contains("s3") && !why.contains("123"), "{bad}: {why}");
        }
    }

    #[test]
    fn no_form_of_a_password_is_shown() {
        for text in [
            "postgres://me:S3cr3t@h/db",
            "postgres://me:S3cr3t@h:port/db",
            "postgres://me:S3cr3t#x@h/db",
            "postgres://me:a/S3cr3t@h/db",
            "postgres://me:a?S3cr3t@h/db",
            "postgres://me:S3cr3t",
            "postgres:///db?password=S3cr3t",
            "postgres:///db?user=me&pass%77ord=S3cr3t&x=1",
            "mysql://me:S3cr3t@h/db",
            "mariadb://me:x@S3cr3t@h/db",
            "redis://me:S3cr3t@h",
            "me:S3cr3t@h",
            "me:S3cr3t@h/db?sslmode=x",
            "host=h user=me password=S3cr3t",
            "host=h password = 'S3cr3t S3cr3t' user=me",
            "host=h password='it\\'s S3cr3t' user=me",
            "PASSWORD=S3cr3t",
            "unexpected argument 'postgres://me:S3cr3t@h/db' found",
            "postgres://me:S3cr3t@h/db?x=a@b",
            "sslpassword=S3cr3t",
            "me:%:///&x me? S3cr3t@h",
            "me:a@b?S3cr3t=x@h",
            "postgres://me:a@b?S3cr3t=x@h",
            "me:x://S3cr3t@h",
            "me:S3cr3t://h",
            "me: postgres://S3cr3t@h",
            "me:x postgres://y@S3cr3t@h",
            "error: cannot read 'postgres://me:S3cr3t x@h/db'",
            "see postgres://me:a S3cr3t@h/db",
        ] {
            assert!(!redacted(text).contains("S3cr3t"), "{text}: {}", redacted(text));
            assert!(has_secret(text), "{text}");
        }
    }

    #[test]
    fn what_holds_no_password_stays() {
        for text in [
            "dump.sql",
            "/home/me@home/a.sql",
            "postgres://h:5432/db",
            "postgres://me@h:5432/db",
            "postgres:///db?host=/tmp&user=me",
            "a=b",
            "C:\\dump.sql",
            "postgres://[::1]:5432/db",
            "see postgres://me@h:5432/db",
            "error: cannot read postgres://h:5432/db",
        ] {
            assert_eq!(redacted(text), text);
        }
    }
}

//! What names a database, in every form that psql takes: a URL, keywords and values, a service of `pg_service.conf`, the variables
//! PGHOST and so on. What is written wins over the service, the service over the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::url;

/// Keywords that a connection may be described by. Those that the driver has no use for are taken and passed over, as timeouts of
/// sockets are.
const KEYWORDS: [&str; 41] = [
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "options",
    "passfile",
    "password",
    "port",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// Keywords and the variables that fill them. User options, password files and the rest are the driver's.
const VARIABLES: [(&str, &str); 10] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
];

/// Keywords and values.
type Values = BTreeMap<String, String>;

/// What the environment holds, and files.
pub struct Surroundings<'a> {
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    pub file: &'a dyn Fn(&std::path::Path) -> Option<String>,
}

/// The server of a connection, or several to be tried in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// A URL for the driver for each of them; every part is a parameter, so that none is ambiguous.
    pub urls: Vec<String>,
    /// Which of them will do.
    pub session: Session,
}

/// `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    Any,
    Writable,
    ReadOnly,
    Primary,
    Standby,
}

/// Whether a text describes a connection: anything else may be a password.
pub fn is_one(text: &str) -> bool {
    is_url(text) || pairs(text).is_ok_and(|values| !values.is_empty())
}

fn is_url(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// Whether the environment alone names a database.
pub fn in_environment(around: &Surroundings<'_>) -> bool {
    let named = ["PGDATABASE", "PGHOST", "PGHOSTADDR", "PGSERVICE", "PGUSER", "PGPORT"];
    named.iter().any(|name| (around.variable)(name).is_some_and(|value| !value.is_empty()))
}

/// Reads a description; no message holds a value of it.
pub fn read(text: &str, around: &Surroundings<'_>) -> Result<Servers, String> {
    let mut values = if is_url(text) {
        url::check(text).map_err(|why| format!("the URL is not valid: {why}"))?;
        of_url(text)?
    } else {
        pairs(text)?
    };
    if let Some(unknown) =
        values.keys().find(|k| *k != "user" && !KEYWORDS.contains(&k.as_str()) && !k.starts_with("options["))
    {
        return Err(format!("there is no connection parameter \"{unknown}\""));
    }
    let service = values.get("service").cloned().or_else(|| (around.variable)("PGSERVICE")).filter(|s| !s.is_empty());
    if let Some(service) = service {
        for (key, value) in of_service(&service, around)? {
            values.entry(key).or_insert(value);
        }
    }
    for (key, variable) in VARIABLES {
        if let Some(value) = (around.variable)(variable).filter(|v| !v.is_empty()) {
            values.entry(key.to_owned()).or_insert(value);
        }
    }
    servers(&values)
}

fn of_url(text: &str) -> Result<Values, String> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let mut values = Values::new();
    let mut set = |key: &str, value: &str| -> Result<(), String> {
        if !value.is_empty() {
            values.insert(key.to_owned(), decoded(value)?);
        }
        Ok(())
    };
    let (credentials, places) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    set("user", user)?;
    set("password", password)?;
    let (mut hosts, mut ports) = (vec![], vec![]);
    for place in places.split(',') {
        // an address of IPv6 stands in brackets
        let (host, port) = match place.rsplit_once(']') {
            Some((host, port)) => (host.trim_start_matches('['), port.strip_prefix(':').unwrap_or_default()),
            None => place.rsplit_once(':').unwrap_or((place, "")),
        };
        hosts.push(host);
        ports.push(port);
    }
    if hosts.iter().any(|h| !h.is_empty()) {
        set("host", &hosts.join(","))?;
    }
    if ports.iter().any(|p| !p.is_empty()) {
        set("port", &ports.join(","))?;
    }
    set("dbname", path.trim_start_matches('/'))?;
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        // as in the URLs of other drivers
        match decoded(key)?.as_str() {
            "ssl" if value == "true" => set("sslmode", "require")?,
            "ssl-mode" => set("sslmode", value)?,
            "ssl-root-cert" | "ssl-ca" => set("sslrootcert", value)?,
            "ssl-cert" => set("sslcert", value)?,
            "ssl-key" => set("sslkey", value)?,
            key => set(key, value)?,
        }
    }
    Ok(values)
}

/// `host=/tmp dbname='my db'`.
fn pairs(text: &str) -> Result<Values, String> {
    const SHAPE: &str = "it is neither a URL nor keywords and values, as host=localhost dbname=app";
    let mut values = Values::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or(SHAPE)?;
        let key = key.trim();
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(SHAPE.into());
        }
        let after = after.trim_start();
        let quoted = after.starts_with('\'');
        let (mut value, mut escaped, mut end) = (String::new(), false, after.len());
        let mut closed = !quoted;
        for (at, c) in after.char_indices().skip(usize::from(quoted)) {
            match c {
                c if escaped => {
                    value.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '\'' if quoted => {
                    (end, closed) = (at + 1, true);
                    break;
                }
                c if !quoted && c.is_whitespace() => {
                    end = at;
                    break;
                }
                c => value.push(c),
            }
        }
        if !closed {
            return Err("a quoted value does not end".into());
        }
        values.insert(key.to_owned(), value);
        rest = after[end..].trim_start();
    }
    values.retain(|_, value| !value.is_empty());
    Ok(values)
}

/// The section of a service, from the user's file, then from the system's.
fn of_service(service: &str, around: &Surroundings<'_>) -> Result<Values, String> {
    let variable = |name: &str| (around.variable)(name).filter(|v| !v.is_empty());
    let own = variable("PGSERVICEFILE").map(PathBuf::from);
    let own = own.or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".pg_service.conf")));
    let system = variable("PGSYSCONFDIR").unwrap_or_else(|| "/etc/postgresql-common".into());
    let places = own.into_iter().chain([PathBuf::from(system).join("pg_service.conf")]);
    for text in places.filter_map(|place| (around.file)(&place)) {
        let mut values = Values::new();
        let (mut inside, mut found) = (false, false);
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                inside = name == service && !found;
                found |= inside;
            } else if inside {
                let (key, value) = line.split_once('=').ok_or("a line of the service file is no keyword and value")?;
                let key = key.trim();
                if key == "service" || key != "user" && !KEYWORDS.contains(&key) {
                    return Err(format!("the service file has no use for \"{key}\""));
                }
                values.insert(key.to_owned(), value.trim().to_owned());
            }
        }
        if found {
            return Ok(values);
        }
    }
    Err(format!(
        "there is no service \"{service}\" in ~/.pg_service.conf, PGSERVICEFILE or the system's pg_service.conf"
    ))
}

fn servers(values: &Values) -> Result<Servers, String> {
    let list = |key: &str| -> Vec<&str> { values.get(key).map(|v| v.split(',').collect()).unwrap_or_default() };
    let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = hosts.len().max(addresses.len()).max(1);
    if ports.len() > 1 && ports.len() != count
        || !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len()
    {
        return Err("hosts, addresses and ports are of different numbers".into());
    }
    let session = match values.get("target_session_attrs").map(String::as_str) {
        None | Some("any" | "prefer-standby") => Session::Any,
        Some("read-write") => Session::Writable,
        Some("read-only") => Session::ReadOnly,
        Some("primary") => Session::Primary,
        Some("standby") => Session::Standby,
        Some(_) => {
            return Err("target_session_attrs is any, read-write, read-only, primary, standby or prefer-standby".into());
        }
    };
    let mut urls = vec![];
    for n in 0..count {
        let mut url = String::from("postgres://?");
        let mut add = |key: &str, value: &str| {
            if !value.is_empty() {
                url.push_str(&format!("{key}={}&", encoded(value)));
            }
        };
        let address = addresses.get(n).filter(|a| !a.is_empty());
        add("host", address.or(hosts.get(n)).copied().unwrap_or_default());
        let port = ports.get(if ports.len() == 1 { 0 } else { n }).copied().unwrap_or_default().trim();
        if !port.is_empty() && port.parse::<u16>().is_err() {
            return Err("a port is no number".into());
        }
        add("port", port);
        let passed = ["user", "password", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey", "options"];
        for key in passed {
            add(key, values.get(key).map(String::as_str).unwrap_or_default());
        }
        for (key, value) in values.iter().filter(|(k, _)| k.starts_with("options[")) {
            add(key, value);
        }
        url.pop();
        urls.push(url);
    }
    Ok(Servers { urls, session })
}

fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "it holds a % that is no %XX of UTF-8".to_owned();
    let mut bytes = vec![];
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let hex = [rest.next(), rest.next()].into_iter().flatten().map(char::from).collect::<String>();
        let code = u8::from_str_radix(&hex, 16).ok().filter(|b| hex.len() == 2 && *b != 0);
        bytes.push(code.ok_or_else(wrong)?);
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'/');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests;

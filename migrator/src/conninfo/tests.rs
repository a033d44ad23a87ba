//! Every form, what wins over what, and what is wrong.

use super::*;

fn with(text: &str, variables: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Servers, String> {
    let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
    let file = |path: &std::path::Path| {
        files.iter().find(|(n, _)| path == std::path::Path::new(n)).map(|(_, text)| (*text).to_owned())
    };
    read(text, &Surroundings { variable: &variable, file: &file })
}

fn url(text: &str) -> String {
    let servers = with(text, &[], &[]).unwrap_or_else(|why| panic!("{text}: {why}"));
    assert_eq!(servers.urls.len(), 1, "{text}");
    servers.urls[0].clone()
}

#[test]
fn every_form_that_psql_takes_is_understood() {
    let socket = "postgres://?host=/tmp/x&user=me&dbname=app";
    for text in [
        "postgres://me@/app?host=/tmp/x",
        "postgresql:///app?host=/tmp/x&user=me",
        "postgres://me@%2Ftmp%2Fx/app",
        "postgres://?host=/tmp/x&user=me&dbname=app",
        "host=/tmp/x user=me dbname=app",
        "  host = '/tmp/x'  user=me\ndbname = app ",
    ] {
        assert_eq!(url(text), socket, "{text}");
    }
    assert_eq!(url("postgres://"), "postgres://");
    assert_eq!(url("postgres:///app"), "postgres://?dbname=app");
    assert_eq!(
        url("postgres://me:p%40s@h:5433/a%20b"),
        "postgres://?host=h&port=5433&user=me&password=p%40s&dbname=a%20b"
    );
    assert_eq!(url("postgres://[::1]:5433/db"), "postgres://?host=%3A%3A1&port=5433&dbname=db");
    assert_eq!(url("dbname='it\\'s' password=a\\ b"), "postgres://?password=a%20b&dbname=it%27s");
    assert_eq!(
        url("postgres://h/db?ssl=true&connect_timeout=3&keepalives=1"),
        "postgres://?host=h&dbname=db&sslmode=require"
    );
    assert_eq!(url("host=ignored hostaddr=127.0.0.1 dbname=db"), "postgres://?host=127.0.0.1&dbname=db");
}

#[test]
fn several_servers_are_tried_in_turn() {
    let servers = with("postgres://a:1,b:2/db?target_session_attrs=read-write", &[], &[]).unwrap();
    assert_eq!(servers.urls, ["postgres://?host=a&port=1&dbname=db", "postgres://?host=b&port=2&dbname=db"]);
    assert_eq!(servers.session, Session::Writable);
    assert_eq!(with("host=a,b port=5 dbname=db", &[], &[]).unwrap().urls[1], "postgres://?host=b&port=5&dbname=db");
    assert!(with("host=a,b,c port=5,6", &[], &[]).is_err());
}

#[test]
fn what_is_written_wins_over_the_service_and_that_over_the_environment() {
    let files = [
        ("/home/me/.pg_service.conf", "# mine\n[shop]\nhost=/tmp/s\nuser = app\ndbname=shop\n[other]\ndbname=other\n"),
        ("/etc/postgresql-common/pg_service.conf", "[shop]\ndbname=never\n[all]\ndbname=all\n"),
        ("/x/services", "[shop]\ndbname=x\n"),
    ];
    let home = ("HOME", "/home/me");
    let first =
        |text: &str, more: &[(&str, &str)]| with(text, &[&[home], more].concat(), &files).unwrap().urls[0].clone();
    assert_eq!(first("service=shop", &[]), "postgres://?host=/tmp/s&user=app&dbname=shop");
    assert_eq!(
        first("postgres:///mine?service=shop", &[("PGUSER", "no"), ("PGPORT", "6")]),
        "postgres://?host=/tmp/s&port=6&user=app&dbname=mine"
    );
    assert_eq!(
        first("postgres://", &[("PGSERVICE", "shop"), ("PGSERVICEFILE", "/x/services")]),
        "postgres://?dbname=x"
    );
    assert_eq!(first("service=all", &[]), "postgres://?dbname=all");
    assert_eq!(first("postgres://", &[("PGHOST", "/run/x"), ("PGDATABASE", "d")]), "postgres://?host=/run/x&dbname=d");
    assert!(with("service=nowhere", &[home], &files).unwrap_err().contains("nowhere"));
}

#[test]
fn what_is_wrong_is_told_without_its_values() {
    for text in [
        "postgres://me:S3cr3t@h:port/db",
        "postgres://me:S3cr3t@h/db?hosst=x",
        "postgres://me:S3cr3t%zz@h/db",
        "host=h password='S3cr3t",
        "host=h pasword=S3cr3t",
        "S3cr3t",
        "host=h port=S3cr3t",
        "host=h target_session_attrs=S3cr3t",
    ] {
        let why = with(text, &[], &[]).expect_err(text);
        assert!(!why.contains("S3cr3t"), "{text}: {why}");
    }
    assert!(!is_one("app") && !is_one("mysql://h/db") && is_one("dbname=app") && is_one("postgres://"));
}

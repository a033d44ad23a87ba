//! The same random script on both engines: results, events and dead letters are compared, and the universal invariant is
//! checked on each after every transaction.
//!
//! `DIFF_SEED` says where scripts begin (23; what failed prints its own), `DIFF_SECONDS` for how long they are made up (10),
//! `DIFF_WITHOUT=ddl,merge,..` leaves features out, `DIFF_ALL=1` goes on after a finding, `DIFF_MINIMISE` is the time in seconds
//! for making a script smaller (40), `DIFF_ENGINES=portable,portable` compares an engine with itself.

mod compare;
mod ddl;
mod generator;
mod invariant;
mod minimise;
mod model;
mod random;
mod runner;
mod schema;
mod statement;
mod step;
mod value;

use std::{
    collections::BTreeMap,
    env,
    time::{Duration, Instant},
};

use domain_events_tests::{Cluster, Engine};
use generator::Generator;
use runner::{Counts, Finding, Runner};
use step::Step;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|v| v.parse().ok())
}

fn engine(name: &str) -> Engine {
    match name {
        "native" => Engine::Native,
        // Installed by a superuser, as the extension is: both then have their event triggers.
        "portable" => Engine::PortableSuper,
        other => panic!("DIFF_ENGINES: no engine {other}"),
    }
}

/// Features left out by `DIFF_WITHOUT`.
fn without() -> Vec<String> {
    env::var("DIFF_WITHOUT").map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default()
}

/// Autovacuum would come and go as it likes, and hashes of enums go by their OIDs: a statement would meet its rows in another
/// order. Nothing on disk has to outlive the test.
const SETTINGS: &[(&str, &str)] = &[
    ("autovacuum", "off"),
    ("enable_hashjoin", "off"),
    ("enable_hashagg", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
];

fn start() -> (&'static Cluster, u64) {
    let names = env::var("DIFF_ENGINES").unwrap_or_else(|_| "portable,native".into());
    let (left, right) = names.split_once(',').expect("DIFF_ENGINES: two engines");
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(SETTINGS)));
    runner::make_templates(cluster, [engine(left), engine(right)]);
    let version = cluster.connect("postgres", "postgres").major_version();
    (cluster, version as u64)
}

#[test]
fn both_engines_tell_the_same() {
    let seconds = number("DIFF_SECONDS").unwrap_or(10);
    // A change is judged by the same scripts as the one before; DIFF_SEED=$RANDOM looks for new ones.
    let first = number("DIFF_SEED").unwrap_or(23);
    let without = without();
    println!("DIFF_SEED={first} DIFF_SECONDS={seconds}");
    let (cluster, version) = start();

    let until = Instant::now() + Duration::from_secs(seconds);
    let mut counts = Counts::default();
    let mut findings: BTreeMap<String, u64> = BTreeMap::new();
    for seed in first.. {
        if let Err((steps, finding)) = script(cluster, seed, version, &without, &mut counts) {
            let times = findings.entry(finding.kind.clone()).or_default();
            *times += 1;
            report(cluster, seed, steps, finding, *times <= number("DIFF_SHOW").unwrap_or(2));
            if env::var_os("DIFF_ALL").is_none() {
                break;
            }
        }
        if Instant::now() >= until {
            break;
        }
    }
    println!("{counts}");
    finish(cluster, &findings);
}

/// The same with every query compiled, with plans of either kind, and with every message of the server formatted.
#[test]
fn unusual_settings_change_nothing() {
    let without = without();
    let (cluster, version) = start();
    let mut admin = cluster.connect("postgres", "postgres");
    for setting in ["jit = on", "jit_above_cost = 0", "log_min_messages = debug5", "log_error_verbosity = verbose"] {
        admin.run(&format!("alter role app_owner set {setting}"));
    }
    // Only a server built with assertions can forget its catalogue caches at every turn; Debian's allows nothing but 0.
    if admin.number("select coalesce(max(max_val::int), 0) from pg_settings where name = 'debug_discard_caches'") > 0 {
        admin.run("alter role app_owner set debug_discard_caches = 1");
    } else {
        println!("debug_discard_caches: not in this server");
    }
    let mut counts = Counts::default();
    let mut findings: BTreeMap<String, u64> = BTreeMap::new();
    for (mode, seed) in [("force_generic_plan", 11), ("force_custom_plan", 12)] {
        admin.run(&format!("alter role app_owner set plan_cache_mode = {mode}"));
        if let Err((steps, finding)) = script(cluster, seed, version, &without, &mut counts) {
            findings.insert(finding.kind.clone(), seed);
            report(cluster, seed, steps, finding, true);
        }
    }
    println!("{counts}");
    finish(cluster, &findings);
}

fn report(cluster: &'static Cluster, seed: u64, steps: Vec<Step>, finding: Finding, in_full: bool) {
    if in_full {
        println!("\n== DIFF_SEED={seed}: {}, being made smaller ..", finding.kind);
        let time = Duration::from_secs(number("DIFF_MINIMISE").unwrap_or(40));
        let (steps, finding) = minimise::minimise(cluster, steps, finding, time);
        println!("{}\n-- {}\n{}", step::text(&steps), finding.kind, finding.detail);
    } else {
        let detail: String = finding.detail.chars().take(2500).collect();
        println!("\n== DIFF_SEED={seed}: {} again\n{detail}", finding.kind);
    }
}

fn finish(cluster: &Cluster, findings: &BTreeMap<String, u64>) {
    let lines = crashed(cluster);
    assert!(lines.is_none(), "a server process crashed: {}", lines.unwrap_or_default());
    assert!(findings.is_empty(), "the engines differ: {findings:?}; repeat with the DIFF_SEED printed above");
}

/// The lines of the server's log about a crash.
fn crashed(cluster: &Cluster) -> Option<String> {
    let log = cluster.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|l| l.contains("terminated by signal") || l.contains("TRAP:") || l.contains("PANIC"))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Makes up and runs one script.
fn script(
    cluster: &'static Cluster,
    seed: u64,
    version: u64,
    without: &[String],
    counts: &mut Counts,
) -> Result<(), (Vec<Step>, Finding)> {
    let mut generator = Generator::new(seed, version, without);
    let mut runner = Runner::new(cluster);
    let mut steps: Vec<Step> = vec![];
    let length = 20 + generator.random.below(50);
    let mut result = Ok(());
    for n in 0.. {
        let mut step = match n < length {
            true => generator.next(),
            false => match generator.finish() {
                Some(step) => step,
                None => break,
            },
        };
        let outcome = runner.run(&step);
        if let Ok(ok) = &outcome {
            generator.outcome(&mut step, *ok);
        }
        steps.push(step);
        let step = &steps[steps.len() - 1];
        if let Err(finding) = outcome.and_then(|ok| if ok { runner.check(step) } else { Ok(()) }) {
            result = Err(finding);
            break;
        }
    }
    counts.add(&runner.counts);
    result.map_err(|finding| (steps, finding))
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} scripts, {} statements on each engine ({} refused by both), {} events, {} streams with late events, {} dead letters, {} table checks",
            self.scripts, self.statements, self.refused, self.events, self.late, self.dead_letters, self.folds
        )
    }
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.scripts += 1;
        self.statements += other.statements;
        self.refused += other.refused;
        self.events += other.events;
        self.late += other.late;
        self.dead_letters += other.dead_letters;
        self.folds += other.folds;
    }
}

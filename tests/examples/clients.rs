//! The program for Rust of docs/clients.md: a test compares the two, and runs it.

use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Error};
use std::time::{Duration, Instant};

/// Open after five failures in a row: for ten seconds nobody asks a server that is down.
#[derive(Default)]
struct Breaker {
    failures: u32,
    until: Option<Instant>,
}

fn code(error: &Error) -> String {
    error.as_database_error().and_then(|e| e.code()).map(|c| c.into_owned()).unwrap_or_default()
}

fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::Tls(_) | Error::Protocol(_))
        || ["08", "57"].iter().any(|c| code(error).starts_with(c))
}

fn helps_to_repeat(error: &Error) -> bool {
    is_lost(error) || ["40001", "40P01", "55P03"].contains(&code(error).as_str())
}

struct Event<'a> {
    order: &'a str,
    kind: &'a str,
    data: Value,
    expected: i64,
    event_id: &'a str,
}

/// One transaction; what is not committed is rolled back.
async fn once(event: &Event<'_>) -> Result<i64, Error> {
    let options = PgConnectOptions::new().statement_cache_capacity(0);
    let mut connection = PgConnection::connect_with(&options).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("select domain_events.set_context(actor => 'shop')").execute(&mut *transaction).await?;
    let version = sqlx::query_scalar(
        "select aggregate_version from domain_events.append_event('Order', $1, $2, $3,
           expected_version => $4, event_id => $5::uuid)",
    )
    .bind(event.order)
    .bind(event.kind)
    .bind(&event.data)
    .bind(event.expected)
    .bind(event.event_id)
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(version)
}

impl Breaker {
    async fn append(&mut self, event: &Event<'_>) -> Result<i64, Error> {
        if self.until.is_some_and(|until| Instant::now() < until) {
            return Err(Error::Protocol("the event store is not asked at the moment".into()));
        }
        let mut tries = 0;
        let result = loop {
            match once(event).await {
                // the whole transaction again
                Err(error) if helps_to_repeat(&error) && tries < 4 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(25 << tries)).await;
                }
                result => break result,
            }
        };
        match &result {
            Err(error) if is_lost(error) => {
                self.failures += 1;
                self.until = (self.failures >= 5).then(|| Instant::now() + Duration::from_secs(10));
            }
            _ => *self = Self::default(),
        }
        result
    }

    async fn tell(&mut self, event: Event<'_>) -> Result<(), Error> {
        match self.append(&event).await {
            Ok(version) => println!("{} is version {version}", event.kind),
            Err(error) if code(&error) == "23000" => println!("somebody was faster than version {}", event.expected),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut shop = Breaker::default();
    // the crate `uuid` makes them
    let ids: [String; 4] = std::array::from_fn(|n| format!("{:08x}-0000-4000-8000-{:012x}", std::process::id(), n));
    let [order, placed, paid, other] = ids.each_ref().map(String::as_str);
    let event = |kind, data, expected, event_id| Event { order, kind, data, expected, event_id };
    shop.tell(event("OrderPlaced", json!({"total": 12.5}), 0, placed)).await?;
    shop.tell(event("OrderPaid", json!({"by": "card"}), 1, paid)).await?;
    shop.tell(event("OrderCancelled", json!({}), 1, other)).await?;
    // the answer was lost: the same event again
    shop.tell(event("OrderPaid", json!({"by": "card"}), 1, paid)).await
}

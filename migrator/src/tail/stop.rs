//! Being asked to end.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::error::{Error, Exit};

/// What is being printed when the process is asked to end may take so long.
const GRACE: Duration = Duration::from_secs(1);

/// Tells of Ctrl-C and SIGTERM, and ends the process itself where nobody listens within a second: whoever writes into a pipe that
/// nobody reads hears nothing.
pub fn when_asked() -> Result<Arc<Notify>, Error> {
    let failed = |e| Error::io("waiting for the end", e);
    let asked = Arc::new(Notify::new());
    let tell = asked.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt()).map_err(failed)?, signal(SignalKind::terminate()).map_err(failed)?)
    };
    let thread = std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tell.notify_one();
            tokio::time::sleep(GRACE).await;
        });
        std::process::exit(Exit::Clean as i32);
    });
    thread.map(|_| asked).map_err(failed)
}

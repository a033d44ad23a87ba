//! What removes a throw-away server when the test process ends, however it ends.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// The process that removes the server when its input ends, that is with us (also by SIGKILL).
pub(crate) struct Guard(Child);

impl Guard {
    /// Runs these shell commands in the end.
    pub(crate) fn new(remove: &str) -> Guard {
        let child = Command::new("sh")
            .args(["-c", &format!("read -r _; {remove}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0) // Ctrl-C ends us, not the one who tidies up
            .spawn()
            .expect("sh");
        Guard(child)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}

//! Processes whose parents have ended, below this process.
//!
//! A process can leave its process group and session, and its parent can end: nothing then connects it with who started
//! it. On Linux such a process becomes a child of this one, which can end it. Elsewhere it is out of reach.
//! Source: PR_SET_CHILD_SUBREAPER(2const).

use std::collections::BTreeSet;

/// Adopts the orphans below this process. For a process that owns all processes below it.
#[derive(Debug)]
pub struct Orphans {
    /// Children that had ended at the last look, and that nobody had waited for.
    ended: BTreeSet<u32>,
}

impl Orphans {
    pub fn adopt() -> Self {
        // Best effort: kernels before 3.4 do not have it.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        Self {
            ended: BTreeSet::new(),
        }
    }

    /// Waits for orphans that have ended. Call it every minute or so: a child that had ended at the last call too has
    /// nobody else who waits for it.
    pub fn reap(&mut self) {
        #[cfg(target_os = "linux")]
        {
            let ended: BTreeSet<u32> = linux::children(std::process::id())
                .into_iter()
                .filter(|child| linux::has_ended(*child))
                .collect();
            for orphan in ended.intersection(&self.ended) {
                linux::wait(*orphan);
            }
            self.ended = ended.difference(&self.ended).copied().collect();
        }
    }

    /// Kills all processes below this one.
    pub fn kill(self) {
        #[cfg(target_os = "linux")]
        linux::kill_all();
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::time::Duration;

    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

    /// A process that starts others faster than they are killed is given up.
    const ROUNDS: u32 = 200;
    /// Levels of processes.
    const MAX_DEPTH: u32 = 64;

    pub(super) fn children(pid: u32) -> Vec<u32> {
        // Each thread has its own children.
        let threads = std::fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten();
        let lists =
            threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
        lists
            .flat_map(|list| {
                list.split_whitespace()
                    .filter_map(|child| child.parse().ok())
                    .collect::<Vec<u32>>()
            })
            .collect()
    }

    pub(super) fn has_ended(pid: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state follows the name, which is in parentheses and may contain any character. See proc_pid_stat(5).
        stat.rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with('Z'))
    }

    pub(super) fn wait(pid: u32) {
        if let Some(pid) = as_pid(pid) {
            // Another thread may have waited meanwhile.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }

    pub(super) fn kill_all() {
        for _ in 0..ROUNDS {
            let alive = descendants(std::process::id(), 0);
            if alive.is_empty() {
                return;
            }
            for pid in alive.into_iter().filter_map(as_pid) {
                // It may have ended already.
                let _ = kill_process(pid, Signal::KILL);
            }
            // Their children become children of this process.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn descendants(pid: u32, depth: u32) -> Vec<u32> {
        let mut found = Vec::new();
        for child in children(pid) {
            if !has_ended(child) {
                found.push(child);
            }
            if depth < MAX_DEPTH {
                found.extend(descendants(child, depth + 1));
            }
        }
        found
    }

    fn as_pid(pid: u32) -> Option<Pid> {
        i32::try_from(pid).ok().and_then(Pid::from_raw)
    }
}

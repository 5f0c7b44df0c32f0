//! Kills the processes of functions when this process ends, also when it is killed.
//!
//! Each process of a function leads a process group. A shell keeps a list of these groups, which it reads from a pipe. The
//! pipe closes when this process ends, for whatever reason; the shell then kills the groups that are still on the list.
//! This covers children of functions too, works on every Unix, and needs no code between fork and exec.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ground::platform;

const SCRIPT: &str = r#"trap "" HUP INT TERM
groups=" "
while read -r change group; do
  case $change in
    +) groups="$groups$group " ;;
    -) case $groups in *" $group "*) groups="${groups%%" $group "*} ${groups#*" $group "}" ;; esac ;;
  esac
done
for group in $groups; do kill -9 -"$group" 2>/dev/null; done
"#;

/// The process groups of functions.
#[derive(Default)]
pub(crate) struct Guardian(Mutex<State>);

#[derive(Default)]
struct State {
    groups: BTreeSet<u32>,
    shell: Option<(Child, ChildStdin)>,
}

/// A process group that is killed when this is dropped.
pub(crate) struct Group {
    leader: u32,
    guardian: Arc<Guardian>,
}

impl Guardian {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the group that the process `leader` leads.
    pub fn watch(self: &Arc<Self>, leader: u32) -> Group {
        let mut state = self.state();
        if state.shell.is_none() {
            state.shell = shell();
            let groups: Vec<u32> = state.groups.iter().copied().collect();
            for leader in groups {
                state.send('+', leader);
            }
        }
        state.groups.insert(leader);
        state.send('+', leader);
        drop(state);
        Group {
            leader,
            guardian: Arc::clone(self),
        }
    }

    /// Kills all groups.
    pub fn kill_all(&self) {
        let mut state = self.state();
        for leader in &state.groups {
            platform::kill_group(*leader);
        }
        if let Some((mut child, pipe)) = state.shell.take() {
            drop(pipe);
            // The groups are gone already, so the shell ends at once.
            let _ = child.wait();
        }
    }
}

impl State {
    fn send(&mut self, change: char, leader: u32) {
        let sent = self
            .shell
            .as_mut()
            .map(|(_, pipe)| writeln!(pipe, "{change} {leader}"));
        if let Some(Err(error)) = sent {
            tracing::warn!(%error, "functions may outlive this process if it is killed");
            self.shell = None;
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.kill_all();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut state = self.guardian.state();
        platform::kill_group(self.leader);
        state.groups.remove(&self.leader);
        state.send('-', self.leader);
    }
}

fn shell() -> Option<(Child, ChildStdin)> {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", SCRIPT])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let started = command.spawn().and_then(|mut child| {
        let pipe = child.stdin.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        Ok((child, pipe))
    });
    match started {
        Ok(started) => Some(started),
        Err(error) => {
            tracing::warn!(%error, "functions may outlive this process if it is killed");
            None
        }
    }
}

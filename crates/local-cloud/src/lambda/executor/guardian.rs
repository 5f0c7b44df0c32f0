//! Sees to it that no function outlives the local cloud, also when that is killed.
//!
//! Each instance leads a process group. A shell holds the list of the groups, told over a pipe; when the pipe closes,
//! however this process ended, it kills what is left on the list. That covers children of functions too, on every
//! Unix, and needs no code between fork and exec.

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

/// Knows all process groups of functions.
#[derive(Default)]
pub(super) struct Guardian(Mutex<State>);

#[derive(Default)]
struct State {
    groups: BTreeSet<u32>,
    shell: Option<(Child, ChildStdin)>,
}

/// A process group that is killed when this is dropped.
pub(super) struct Group {
    leader: u32,
    guardian: Arc<Guardian>,
}

impl Guardian {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to watch the group that the process `leader` leads.
    pub fn watch(self: &Arc<Self>, leader: u32) -> Group {
        let mut state = self.state();
        if state.shell.is_none() {
            state.shell = shell();
            let groups: Vec<u32> = state.groups.iter().copied().collect();
            for leader in groups {
                state.tell('+', leader);
            }
        }
        state.groups.insert(leader);
        state.tell('+', leader);
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
            // It ends at once, having nothing left to do that is not done.
            let _ = child.wait();
        }
    }
}

impl State {
    fn tell(&mut self, change: char, leader: u32) {
        let told = self
            .shell
            .as_mut()
            .map(|(_, pipe)| writeln!(pipe, "{change} {leader}"));
        if let Some(Err(error)) = told {
            tracing::warn!(%error, "functions may outlive the local cloud if it is killed");
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
        state.tell('-', self.leader);
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
            tracing::warn!(%error, "functions may outlive the local cloud if it is killed");
            None
        }
    }
}

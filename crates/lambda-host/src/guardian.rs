//! Kills the processes of functions when this process ends, also when it is killed.
//!
//! Each process of a function leads a process group. A shell keeps a list of these groups, which it reads from a pipe. The
//! pipe closes when this process ends, for whatever reason; the shell then kills the groups that are still on the list.
//! This covers children of functions too, works on every Unix, and needs no code between fork and exec.
//!
//! A process can leave its group, for example with `setsid`. Where there is `/proc`, as on Linux, the shell finds such a
//! process by a variable that it has inherited, whose value is random. One that has also cleared its environment is out of
//! reach.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ground::platform;

/// The variable by which processes of functions are found.
const VARIABLE: &str = "STREAMCTL_FUNCTION_HOST";

/// Reads `+ GROUP`, `- GROUP`, `= MARK`, and `.` at an orderly end. A process can start others while it is looked for, so
/// the search is repeated until it finds none.
const SCRIPT: &str = r#"trap "" HUP INT TERM
groups=" "
mark=
while read -r change group; do
  case $change in
    .) exit ;;
    =) mark=$group ;;
    +) groups="$groups$group " ;;
    -) case $groups in *" $group "*) groups="${groups%%" $group "*} ${groups#*" $group "}" ;; esac ;;
  esac
done
for group in $groups; do kill -9 -"$group" 2>/dev/null; done
round=0
found=1
while [ -n "$mark" ] && [ -n "$found" ] && [ $round -lt 20 ]; do
  round=$((round + 1))
  found=
  for process in /proc/[0-9]*; do
    while IFS= read -r line || [ -n "$line" ]; do
      case $line in *"$mark"*) kill -9 "${process#/proc/}" && found=1; break ;; esac
    done <"$process/environ"
  done 2>/dev/null
done
"#;

/// The process groups of functions.
pub(crate) struct Guardian {
    state: Mutex<State>,
    /// The value of [`VARIABLE`].
    mark: String,
}

#[derive(Default)]
struct State {
    groups: BTreeSet<u32>,
    shell: Option<(Child, ChildStdin)>,
}

impl Default for Guardian {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            mark: format!("{:032x}", rand::random::<u128>()),
        }
    }
}

/// A process group that is killed when this is dropped.
pub(crate) struct Group {
    leader: u32,
    guardian: Arc<Guardian>,
}

impl Guardian {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The variable that every process of a function must have: name and value.
    pub fn variable(&self) -> (&'static str, &str) {
        (VARIABLE, &self.mark)
    }

    /// Adds the group that the process `leader` leads.
    pub fn watch(self: &Arc<Self>, leader: u32) -> Group {
        let mut state = self.state();
        if state.shell.is_none() {
            state.shell = shell();
            state.send('=', &self.mark);
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
        state.send('.', "");
        if let Some((mut child, pipe)) = state.shell.take() {
            drop(pipe);
            // The groups are gone already, so the shell ends at once.
            let _ = child.wait();
        }
    }
}

impl State {
    fn send(&mut self, change: char, what: impl Display) {
        let sent = self
            .shell
            .as_mut()
            .map(|(_, pipe)| writeln!(pipe, "{change} {what}"));
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

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_process_that_left_its_group_is_killed_when_the_pipe_closes() {
        let dir = tempfile::tempdir().unwrap();
        let noted = dir.path().join("pid");
        let guardian = Arc::<Guardian>::default();
        let (name, value) = guardian.variable();
        // Its environment has more lines than one, and its parent has ended.
        let script = "setsid sh -c 'echo $$ >\"$1.new\"; mv \"$1.new\" \"$1\"; exec sleep 1000' sh \"$1\" &";
        let mut parent = Command::new("/bin/sh");
        parent
            .args(["-c", script, "sh"])
            .arg(&noted)
            .env("A", "1\n2\n")
            .env(name, value)
            .stdin(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut parent, 0);
        let mut parent = parent.spawn().unwrap();
        let group = guardian.watch(parent.id());
        parent.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !noted.exists() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(2));
        }
        let pid = std::fs::read_to_string(&noted).unwrap();
        let process = Path::new("/proc").join(pid.trim());
        assert!(process.exists());
        // As at a kill of this process: nothing is said before.
        let (mut shell, pipe) = guardian.state().shell.take().unwrap();
        drop(pipe);
        shell.wait().unwrap();
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        assert!(environment.is_empty(), "it is gone, or waits for its parent");
        drop(group);
    }
}

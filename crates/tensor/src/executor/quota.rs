//! How many processors this process may use.
//!
//! A container is often given a share of the machine's time rather than some of its processors. The share is written
//! in the files of the control group, and the group's ancestors may each allow less. Both versions of control groups
//! are read; everywhere else there is no quota.

use std::path::Path;

/// How many threads to use unless the user says otherwise: one for each processor this process may run on, and no more
/// than the control group's quota keeps busy.
pub fn default_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    match cpu_quota() {
        Some(quota) => processors.min((quota as usize).max(1)),
        None => processors,
    }
}

/// Processors' worth of time the control group grants this process, or nothing if it does not say.
pub(super) fn cpu_quota() -> Option<f64> {
    if cfg!(target_os = "linux") { quota_below(Path::new("/")) } else { None }
}

/// As [`cpu_quota`], with the system's files looked up below `root`.
fn quota_below(root: &Path) -> Option<f64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    groups.lines().filter_map(|line| quota_of_group(root, line)).reduce(f64::min)
}

/// The least quota of a group and its ancestors. `line` reads `number:controllers:path`; version 2 has no controllers.
fn quota_of_group(root: &Path, line: &str) -> Option<f64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let mounts = if controllers.is_empty() {
        ["sys/fs/cgroup", "sys/fs/cgroup/unified"]
    } else if controllers.split(',').any(|controller| controller == "cpu") {
        ["sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"]
    } else {
        return None;
    };
    let group = Path::new(path.trim_start_matches('/'));
    // Inside a container the path may be that of the host, of which only some trailing part is visible, or none.
    let ancestors = || group.ancestors();
    mounts
        .iter()
        .flat_map(|mount| ancestors().map(move |ancestor| root.join(mount).join(ancestor)))
        .filter_map(|folder| version_2(&folder).or_else(|| version_1(&folder)))
        .reduce(f64::min)
}

/// `cpu.max` holds a quota, or `max`, and a period in microseconds.
fn version_2(folder: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(folder.join("cpu.max")).ok()?;
    let mut fields = text.split_whitespace();
    let quota: f64 = fields.next()?.parse().ok()?;
    let period: f64 = fields.next()?.parse().ok()?;
    share(quota, period)
}

/// `cpu.cfs_quota_us` is -1 where there is no quota.
fn version_1(folder: &Path) -> Option<f64> {
    let number =
        |name: &str| -> Option<f64> { std::fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok() };
    share(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
}

fn share(quota: f64, period: f64) -> Option<f64> {
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A folder of files, gone when dropped.
    struct Root(PathBuf);

    impl Root {
        fn with(name: &str, files: &[(&str, &str)]) -> Root {
            let root = std::env::temp_dir().join(format!("tiny-vlm-quota-{}-{name}", std::process::id()));
            for (path, text) in files {
                let file = root.join(path);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, text).unwrap();
            }
            Root(root)
        }

        fn quota(&self) -> Option<f64> {
            quota_below(&self.0)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_least_of_a_group_and_its_ancestors_counts() {
        let root = Root::with(
            "nested",
            &[
                ("proc/self/cgroup", "0::/box/app\n"),
                ("sys/fs/cgroup/box/cpu.max", "150000 100000\n"),
                ("sys/fs/cgroup/box/app/cpu.max", "max 100000\n"),
            ],
        );
        assert_eq!(root.quota(), Some(1.5));
    }

    #[test]
    fn a_host_path_falls_back_to_what_is_visible() {
        let root = Root::with(
            "host",
            &[("proc/self/cgroup", "0::/kubepods/pod1\n"), ("sys/fs/cgroup/cpu.max", "50000 100000\n")],
        );
        assert_eq!(root.quota(), Some(0.5));
    }

    #[test]
    fn version_1_is_read_too() {
        let root = Root::with(
            "first",
            &[
                ("proc/self/cgroup", "9:name=systemd:/\n2:cpuset:/\n1:cpu,cpuacct:/docker/1\n"),
                ("sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "300000\n"),
                ("sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us", "100000\n"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ],
        );
        assert_eq!(root.quota(), Some(3.0));
    }

    #[test]
    fn without_a_quota_or_with_nonsense_there_is_none() {
        assert_eq!(Root::with("none", &[]).quota(), None);
        let nonsense =
            Root::with("nonsense", &[("proc/self/cgroup", "0::/\n:\n\n"), ("sys/fs/cgroup/cpu.max", "a b")]);
        assert_eq!(nonsense.quota(), None);
        assert!(default_threads() >= 1);
    }
}

//! The memory of the process: how much it may have, how much it uses, and how the allocator returns
//! what is freed.

use std::path::{Path, PathBuf};

/// The memory that this process may have, in bytes: the smallest limit of its control groups, or
/// else the machine's memory. `None` where neither can be read.
#[must_use]
pub fn limit_bytes() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_groups = cgroup_limit(&groups, Path::new("/sys/fs/cgroup"));
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kilobytes(&text, "MemTotal:"));
    of_groups.into_iter().chain(machine).min()
}

/// The memory that belongs to this process alone, in bytes. The pages of mapped files, such as the
/// models', are not part of it: the kernel drops them when memory is short.
#[must_use]
pub fn private_bytes() -> Option<u64> {
    kilobytes(&std::fs::read_to_string("/proc/self/status").ok()?, "RssAnon:")
}

/// Lets the allocator return large buffers to the system as soon as they are freed, and keep few
/// pools for small ones. By default, glibc keeps a pool for every few threads and raises the size
/// from which a buffer is mapped on its own whenever one is freed, so that the process stays as
/// large as its largest requests.
pub fn return_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const MAPPED_FROM_BYTES: libc::c_int = 1 << 20;
        const POOLS: libc::c_int = 4;
        // SAFETY: `mallopt` may be called at any time; it only sets parameters of the allocator.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM_BYTES);
            libc::mallopt(libc::M_TRIM_THRESHOLD, MAPPED_FROM_BYTES);
            libc::mallopt(libc::M_ARENA_MAX, POOLS);
        }
    }
}

/// Returns all freed memory to the system. It takes some milliseconds.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes the allocator's own locks and touches only free memory.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A line such as `MemTotal:  16384 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// The smallest limit of the groups in `/proc/self/cgroup` and of those that contain them.
fn cgroup_limit(groups: &str, root: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        // Version 2 has one hierarchy and names no controllers.
        let (folder, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        // In a container, the path may be one of the host, which is not mounted: then the root of
        // the mount is the container's own group.
        let group = folder.join(path);
        let above: Vec<PathBuf> = group
            .ancestors()
            .take_while(|above| above.starts_with(&folder))
            .map(|above| above.join(file))
            .collect();
        above.into_iter().filter_map(|file| limit(&file)).min()
    });
    limits.min()
}

/// A group's limit; `max` means none, and so does version 1's largest number of pages.
fn limit(file: &Path) -> Option<u64> {
    const NONE: u64 = 1 << 60;
    let text = std::fs::read_to_string(file).ok()?;
    text.trim().parse().ok().filter(|&bytes| bytes < NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(root: &Path, file: &str, text: &str) {
        let file = root.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    #[test]
    fn the_smallest_limit_of_the_groups_above_counts() {
        let folder = tempfile::tempdir().unwrap();
        group(folder.path(), "a/memory.max", "536870912\n");
        group(folder.path(), "a/b/memory.max", "max\n");
        assert_eq!(cgroup_limit("0::/a/b\n", folder.path()), Some(512 << 20));
        assert_eq!(cgroup_limit("0::/\n", folder.path()), None);
    }

    #[test]
    fn a_container_s_own_group_is_the_root_of_the_mount() {
        let folder = tempfile::tempdir().unwrap();
        group(folder.path(), "memory.max", "1000000\n");
        assert_eq!(
            cgroup_limit("0::/docker/0123/only/on/the/host\n", folder.path()),
            Some(1_000_000)
        );
    }

    #[test]
    fn version_1_is_read_where_it_has_the_memory_controller() {
        let folder = tempfile::tempdir().unwrap();
        group(folder.path(), "memory/x/memory.limit_in_bytes", "268435456\n");
        group(folder.path(), "memory/memory.limit_in_bytes", "9223372036854771712\n");
        let groups = "5:cpu,cpuacct:/x\n4:memory:/x\n";
        assert_eq!(cgroup_limit(groups, folder.path()), Some(256 << 20));
        assert_eq!(cgroup_limit("4:memory:/\n", folder.path()), None);
    }

    #[test]
    fn this_process_has_some_memory_and_uses_less() {
        assert!(private_bytes().unwrap() < limit_bytes().unwrap());
    }
}

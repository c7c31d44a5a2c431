//! Which filesystem a folder is on, read from `/proc/self/mountinfo` (format: `proc_pid_mountinfo(5)`).

use std::path::{Path, PathBuf};

/// Filesystems on which `SQLite`'s locks or its shared memory do not hold.
const NETWORK: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "afs",
    "glusterfs",
    "lustre",
    "gpfs",
    "ocfs2",
    "gfs2",
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.goofys",
    "fuse.mount-s3",
    "fuse.mountpoint-s3",
    "fuse.rclone",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "fuse.ceph",
    "fuse.cephfs",
    "fuse.blobfuse2",
    "fuse.juicefs",
];

/// The name of the network filesystem that a folder is (or would be made) on. `None` for local ones, and where the system does
/// not say.
pub(super) fn network_filesystem(folder: &Path) -> Option<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    // Links may lead to another filesystem; the folder itself may not exist yet.
    let real = folder.ancestors().find_map(|ancestor| ancestor.canonicalize().ok())?;
    let kind = filesystem_of(&table, &real)?;
    NETWORK.contains(&kind.as_str()).then_some(kind)
}

/// The filesystem type of the mount that holds `path`: the longest mount point above it, the later one of two.
fn filesystem_of(table: &str, path: &Path) -> Option<String> {
    table
        .lines()
        .filter_map(mount)
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.components().count())
        .map(|(_, kind)| kind.to_owned())
}

/// Mount point and filesystem type of one line: `36 35 98:0 /root /point options … - type source options`.
fn mount(line: &str) -> Option<(PathBuf, &str)> {
    let (head, tail) = line.split_once(" - ")?;
    let point = head.split(' ').nth(4)?;
    let kind = tail.split(' ').next()?;
    Some((PathBuf::from(unescaped(point)), kind))
}

/// Spaces, tabs, line ends and backslashes are written as `\040` and so on.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 / /mnt rw shared:5 - tmpfs tmpfs rw
31 30 0:52 / /mnt/team\\040share rw,relatime - nfs4 server:/export rw,vers=4.2
32 30 0:53 / /mnt/bucket rw - fuse.s3fs s3fs rw
33 22 0:54 / /data rw - ext4 /dev/sdb1 rw
34 33 0:55 / /data rw - cifs //server/share rw
nonsense
";

    #[test]
    fn the_nearest_mount_above_counts() {
        let on = |path: &str| filesystem_of(TABLE, Path::new(path)).unwrap();
        assert_eq!(on("/var/lib/kmswatch"), "ext4");
        assert_eq!(on("/mnt/disk"), "tmpfs");
        assert_eq!(on("/mnt/team share/kmswatch"), "nfs4");
        assert_eq!(on("/mnt/bucketful"), "tmpfs");
        assert_eq!(on("/mnt/bucket/x"), "fuse.s3fs");
    }

    #[test]
    fn the_last_of_two_mounts_at_one_place_is_the_visible_one() {
        assert_eq!(filesystem_of(TABLE, Path::new("/data/x")).unwrap(), "cifs");
    }

    #[test]
    fn the_folder_of_this_test_is_on_a_local_disk_or_unknown() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(network_filesystem(&folder.path().join("not/yet/there")), None);
    }
}

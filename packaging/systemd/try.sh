#!/bin/sh
# Boots a real systemd in a folder of its own and has it start, reload, upgrade, activate, restart and stop Keyward by the
# units beside this script. It takes root, debootstrap and a binary for Debian 12: `cargo xtask test --long` runs it.
#
#   try.sh BINARY FOLDER
set -eu

binary=$(realpath "$1")
folder=$2
units=$(dirname "$(realpath "$0")")

if [ "${3-}" != inside ]; then
    # The system is made once. It gets the address that this machine's own packages come from.
    if [ ! -e "$folder/usr/bin/systemctl" ]; then
        rm -rf "$folder"
        mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 debian.org || echo http://deb.debian.org/debian)
        debootstrap --variant=minbase --include=systemd,systemd-sysv,curl bookworm "$folder" "$mirror" >"$folder.log" 2>&1 ||
            { tail -n 5 "$folder.log"; exit 1; }
    fi
    exec unshare --pid --fork --kill-child --mount --uts --ipc --net --cgroup "$0" "$1" "$folder" inside
fi

# From here on all of it ends with this process.
cp "$binary" "$folder/usr/bin/keyward"
cp "$units"/keyward.service "$units"/keyward.socket "$folder/etc/systemd/system/"
grep -q ^keyward: "$folder/etc/passwd" ||
    chroot "$folder" useradd --system --home-dir /var/lib/keyward --shell /usr/sbin/nologin keyward
rm -rf "$folder"/var/lib/keyward "$folder"/var/log/keyward
mkdir -p "$folder/etc/keyward"
cat >"$folder/etc/keyward/keyward.yaml" <<'END'
format: 1
listeners:
  - { address: 127.0.0.1:8080, serves: gateway }
  - { address: 127.0.0.1:9090, serves: operations }
data_dir: /var/lib/keyward
access_log: { destination: { file: /var/log/keyward/access.log } }
END

mount --make-rprivate /
mount --bind "$folder" "$folder"
mount -t proc proc "$folder/proc"
mount -t sysfs -o ro sysfs "$folder/sys"
mount -t tmpfs tmpfs "$folder/run"
mount -t tmpfs tmpfs "$folder/tmp"
mount -t tmpfs tmpfs "$folder/dev"
for device in null zero full random urandom tty; do
    mknod -m 666 "$folder/dev/$device" c $(stat -c '%Hr %Lr' /dev/$device)
done
mkdir "$folder/dev/pts" "$folder/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$folder/dev/pts"
ln -s pts/ptmx "$folder/dev/ptmx"
ln -s /proc/self/fd "$folder/dev/fd"
# Where the groups are of the first version, systemd needs a hierarchy by its name.
if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
    mount -t cgroup2 cgroup2 "$folder/sys/fs/cgroup"
else
    mount -t tmpfs tmpfs "$folder/sys/fs/cgroup"
    mkdir "$folder/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$folder/sys/fs/cgroup/systemd"
fi
ip link set lo up

# systemd is the first process of a system, and of this one too: the checks are made by a child.
(
    inside() { chroot "$folder" "$@"; }
    property() { inside systemctl show keyward --property "$1" --value; }
    failed() {
        echo "$1"
        inside systemctl status --no-pager keyward || true
        inside journalctl --no-pager --unit keyward | tail -n 20
        exit 1
    }
    is() { [ "$(property "$1")" = "$2" ] || failed "$1 is not $2"; }
    # Tries for half a minute.
    until_it() {
        tries=0
        until "$@"; do
            tries=$((tries + 1))
            [ $tries -lt 150 ] || failed "not within time: $*"
            sleep 0.2
        done
    }
    ready() { inside curl --silent --fail --output /dev/null http://127.0.0.1:9090/readyz; }
    process_is_another() { [ "$(property MainPID)" != "$process" ] && ready; }
    outcome=1
    trap 'inside systemctl exit $outcome' EXIT

    until_it inside systemctl is-system-running --wait --quiet 2>/dev/null
    inside systemctl start keyward || failed "it does not start"
    ready || failed "it is started, and not ready"
    is ActiveState active
    is StatusText "serving revision 1"
    [ "$(inside stat -c %U:%a /var/lib/keyward/master.key)" = keyward:600 ] || failed "its master key is not its own"
    inside systemctl reload keyward || failed "it does not reload"
    is StatusText "serving revision 2"
    process=$(property MainPID)
    inside systemctl kill --kill-whom=main --signal=USR2 keyward
    until_it process_is_another
    is ActiveState active
    is NRestarts 0
    echo "started, reloaded, upgraded in place"

    process=$(property MainPID)
    inside systemctl kill --kill-whom=main --signal=KILL keyward
    until_it process_is_another
    is NRestarts 1
    inside systemctl stop keyward || failed "it does not stop"
    is Result success
    is ExecMainStatus 0
    echo "killed and started anew, stopped"

    inside systemctl start keyward.socket
    is ActiveState inactive
    until_it ready
    is ActiveState active
    inside systemctl stop keyward keyward.socket
    is Result success
    echo "started by a connection"
    outcome=0
) &
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot "$folder" /lib/systemd/systemd --system --unit=multi-user.target --log-target=null --show-status=0

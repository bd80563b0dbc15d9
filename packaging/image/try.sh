#!/bin/sh
# Runs the image: it starts as its own user, finds upstreams by the names of its hosts file and of a name server, passes calls, writes its data into its folder and
# stops when it is told to. It takes root, buildah, curl and Python: `cargo xtask test --long` runs it.
#
#   try.sh [IMAGE]
set -eu

image=${1-localhost/keyward:latest}
export BUILDAH_ISOLATION=chroot
folder=$(mktemp -d)
# An address of this machine that no other name server has.
container=$(buildah from --pull-never --dns 127.0.0.77 "$image")
upstream=
names=
serving=
end() {
    [ -z "$serving" ] || kill "$serving" 2>/dev/null || true
    [ -z "$upstream" ] || kill "$upstream" 2>/dev/null || true
    [ -z "$names" ] || kill "$names" 2>/dev/null || true
    buildah rm "$container" >/dev/null
    rm -rf "$folder"
}
trap end EXIT
failed() {
    echo "$1"
    tail -n 20 "$folder/log"
    exit 1
}

# Free ports: the container has this machine's network.
ports=$(python3 -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(one.getsockname()[1] for one in held))')
set -- $ports
echo "from the upstream" >"$folder/index.html"
python3 -m http.server --bind 127.0.0.1 --directory "$folder" "$3" >"$folder/upstream" 2>&1 &
upstream=$!
# A name server that knows one name, as 127.0.0.1 (RFC 1035, section 4).
python3 - >"$folder/names" 2>&1 <<'END' &
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.77", 53))
while True:
    query, client = server.recvfrom(512)
    end = query.index(b"\0", 12) + 5
    known = query[12:end - 4].lower() == b"\4back\7keyward\4test\0" and query[end - 4:end - 2] == b"\0\1"
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\x7f\0\0\1" if known else b""
    counts = b"\0\1\0\1\0\0\0\0" if known else b"\0\1\0\0\0\0\0\0"
    server.sendto(query[:2] + b"\x85\x80" + counts + query[12:end] + record, client)
END
names=$!

cat >"$folder/keyward.yaml" <<END
format: 1
listeners:
  - { address: "127.0.0.1:$1", serves: gateway }
  - { address: "127.0.0.1:$2", serves: operations }
data_dir: /var/lib/keyward
resources:
  - { kind: upstream, name: back, targets: [ { url: "http://localhost:$3" } ] }
  - { kind: api, name: open, version: v1, state: published, base_path: /open, upstream: back, authentication: none }
  - { kind: upstream, name: named, targets: [ { url: "http://back.keyward.test:$3" } ] }
  - { kind: api, name: named, version: v1, state: published, base_path: /named, upstream: named, authentication: none }
END
buildah copy --quiet "$container" "$folder/keyward.yaml" /etc/keyward/keyward.yaml >/dev/null
buildah run "$container" -- /keyward check --config /etc/keyward/keyward.yaml

buildah run "$container" -- /keyward serve --config /etc/keyward/keyward.yaml >"$folder/log" 2>&1 &
running=$!
tries=0
until curl --silent --fail --output /dev/null "http://127.0.0.1:$2/readyz"; do
    tries=$((tries + 1))
    [ $tries -lt 150 ] || failed "it is not ready within half a minute"
    sleep 0.2
done
for path in open named; do
    answer=$(curl --silent "http://127.0.0.1:$1/$path/") || failed "it does not answer"
    [ "$answer" = "from the upstream" ] || failed "it answers $answer at /$path"
done
# The one that has this listener; others of the name may run here.
serving=$(ss --listening --tcp --numeric --processes "sport = :$1" | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -n 1)
user=$(stat -c %u "/proc/$serving")
[ "$user" = 65532 ] || failed "it runs as user $user"
data=$(buildah mount "$container")/var/lib/keyward
[ "$(stat -c %u:%a "$data/master.key")" = 65532:600 ] || failed "its master key is not its own"
kill -TERM "$serving"
wait "$running" || failed "it ended with $?"
serving=
echo "the image served a call as user $user and stopped"

#!/bin/sh
# The official image's contract: options alone mean redis-server; as root, give /data to redis
# and become it; under another user (docker run --user), run as that.
set -e
case "$1" in
    -* | *.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . ! -user redis -exec chown redis '{}' +
    # By its path: busybox's shell would take its own, which cannot change users.
    exec /usr/bin/setpriv --reuid=999 --regid=1000 --clear-groups -- "$0" "$@"
fi
[ "$(umask)" != 0022 ] || umask 0077
exec "$@"

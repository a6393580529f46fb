#!/bin/bash
# Prints all of a host that an install may change, one thing a line, to be compared before and after.
#
#   manifest untouched    times too: nothing may have been written, not even the same bytes again
#   manifest undone       what a run that was taken back may leave: new times, a lock file in /run,
#                         the backups that groupadd and groupdel keep, a reloaded nginx
set -u
mode=$1
paths=(/etc /var/www /usr/local /var/lib/tavern /run/tavern /run/tavern.lock)
# Written every few seconds, or at every round of the health check, whatever an install does.
skip='^(/run/tavern/\.status|/var/lib/tavern/health)( |/)'
format='%p %y %m %U:%G %C@ %l\n'
if [[ $mode == undone ]]; then
    skip='^(/etc/(group|gshadow|passwd|shadow)-|/etc/\.pwd\.lock|/run/tavern\.lock)( |$)|'$skip
    format='%p %y %m %U:%G %l\n'
fi
find "${paths[@]}" -printf "$format" 2>/dev/null | grep -vE "$skip" | sort
find "${paths[@]}" -type f -print0 2>/dev/null | xargs -0 sha256sum | awk '{ print $2, $1 }' | grep -vE "$skip" | sort

# Units that are up or failed (what is merely loaded comes and goes); what is enabled is in /etc.
systemctl list-units --plain --no-legend --full --type=service,socket --state=active,failed,activating |
    awk '$1 == "tavern-check.service" && $3 == "activating" { next } # a round is under way
         { print "unit", $1, $3, $4 }' | sort

if timeout 3 docker version >/dev/null 2>&1; then
    docker ps --all --no-trunc --format 'container {{.ID}} {{.Names}} {{.State}}' | sort
    docker volume ls --format 'volume {{.Name}}' | sort
    docker images --no-trunc --format 'image {{.Repository}}:{{.Tag}} {{.ID}}' | sort
fi

# A reload gives new workers.
if [[ $mode == undone ]]; then
    pgrep -o -x nginx | sed 's/^/nginx /'
else
    pgrep -x nginx | sed 's/^/nginx /'
fi
exit 0

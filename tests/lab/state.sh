#!/bin/bash
# Prints what a host is, one thing a line, to be compared before and after. No times: what was put
# back counts as untouched.
#
#   state ours     what Tavern may change, and what the site answers
#   state whole    every file, unit, container, account, rule and package there is
set -u
export LC_ALL=C
mode=$1

case $mode in
    ours) roots=(/etc /usr/local /var/www /var/lib/tavern /var/lib/tavern.gone /run/tavern) ;;
    whole) roots=(/ /run /tmp) ;;
    *) exit 64 ;;
esac

# What the tools that make groups keep as their own backups says nothing of the host.
unsaid='/etc/(group|gshadow|passwd|shadow)-|/etc/\.pwd\.lock'
# Nor does what the status page is told every few seconds.
unsaid+='|/run/tavern/\.status/[^ ]*'
# Nor when the last round of the health check was: what was stopped or started starts its timer anew.
unsaid+='|/var/lib/tavern/health/[^ ]*'

{
    find "${roots[@]}" -xdev -printf '%p %y %m %U:%G %l\n' 2>/dev/null
    # Our logs are there or not; what they say is theirs.
    [[ $mode == whole ]] || find /var/log/nginx -printf '%p %y %m %U:%G\n' 2>/dev/null
    find "${roots[@]}" -xdev -type f -print0 2>/dev/null | xargs -0 -r sha256sum 2>/dev/null |
        sed -E 's/^\\?([0-9a-f]{64})  (.*)$/\2 sha256 \1/'
} | if [[ $mode == ours ]]; then grep -vE "^($unsaid) "; else cat; fi | sort

systemctl list-units --all --plain --no-legend --full --type=service,socket,timer,path |
    awk '$1 == "tavern-check.service" && $3 == "activating" { next } # a round is under way
         $1 == "tavern-check.timer" { $4 = "" } # running while it is
         $3 != "inactive" { print "unit", $1, $3, $4 }' | sort
# Of ours this is seen in /etc.
[[ $mode == ours ]] || systemctl list-unit-files --no-legend --full --type=service,socket,timer,path |
    awk '{ print "unit-file", $1, $2 }' | sort

if timeout 5 docker version >/dev/null 2>&1; then
    id=
    [[ $mode == ours ]] || id='{{.Id}} '
    # shellcheck disable=SC2016  # Docker's variables, not the shell's
    docker ps --all --quiet --no-trunc | xargs -r docker inspect --format \
        "container $id"'{{.Name}} {{.State.Status}} {{.Image}} {{.Config.Image}} {{.Config.User}} {{.Config.Cmd}} {{.Config.Entrypoint}} {{.Config.Env}} {{.Config.Labels}} {{json .HostConfig}} {{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}' |
        sed 's/:null/:[]/g' | sort # dockerd's own words for nothing, before and after it was restarted
    docker volume ls --format 'volume {{.Name}} {{.Labels}}' | sort
    docker image ls --all --no-trunc --format 'image {{.Repository}}:{{.Tag}} {{.ID}}' | sort
    docker network ls --format 'network {{.Name}} {{.Driver}}' | sort
fi

# The master: a reload gives new workers, and nginx is never restarted.
pgrep --oldest --exact nginx | sed 's/^/nginx /'

if [[ $mode == whole ]]; then
    for accounts in passwd shadow group gshadow; do
        sed "s/^/$accounts /" /etc/$accounts
    done
    for rules in iptables-save ip6tables-save; do
        command -v $rules >/dev/null && $rules | sed -E '/^[#:]/d; s/\[[0-9]+:[0-9]+\]//' | sed "s/^/$rules /"
    done
    command -v ufw >/dev/null && ufw status verbose 2>/dev/null | sed 's/^/ufw /'
    apt-mark showauto | sed 's/^/not-asked-for /'
    dpkg-query -Wf 'package ${Package} ${Version} ${Status}\n' | sort
    exit 0
fi

# Whom it answers, and with what.
for url in http://localhost/ https://localhost/ https://localhost/open/ https://localhost/flask/api/ping; do
    : >/run/lab-answer
    code=$(curl --silent --insecure --max-time 10 --output /run/lab-answer --write-out '%{http_code}' "$url")
    echo "answer $url $code $(sha256sum </run/lab-answer | cut -c1-16)"
    rm -f /run/lab-answer
done
exit 0

#!/bin/bash
# Gives a host what its owner may have in Tavern's neighbourhood: accounts, pages, units, cron,
# sysctl and logrotate files; where nginx, Docker and ufw are, sites, containers and rules too.
set -euo pipefail

useradd --create-home --groups adm --shell /bin/bash mine
mkdir -p /var/www/mine /var/www/html /srv/mine /etc/cron.d /etc/cron.daily /opt/mine /usr/local/bin
echo '<h1>mine</h1>' >/var/www/mine/index.html
ln -s mine /var/www/current
chown -R mine:www-data /var/www/mine; chmod 2775 /var/www/mine
printf '#!/bin/sh\necho mine\n' >/usr/local/bin/mine; chmod 755 /usr/local/bin/mine
echo '17 3 * * * root /usr/local/bin/mine' >/etc/cron.d/mine
printf '#!/bin/sh\n' >/etc/cron.daily/mine; chmod 755 /etc/cron.daily/mine
printf '/var/log/mine.log {\n    weekly\n    missingok\n}\n' >/etc/logrotate.d/mine
echo 'net.core.somaxconn = 512' >/etc/sysctl.d/60-mine.conf
echo 'd /run/mine 0755 root root' >/etc/tmpfiles.d/mine.conf
echo '192.0.2.7 mine.example' >>/etc/hosts
printf '[Service]\nExecStart=/bin/sleep infinity\nUser=mine\n[Install]\nWantedBy=multi-user.target\n' \
    >/etc/systemd/system/mine.service
mkdir /etc/systemd/system/mine.service.d
printf '[Service]\nNice=5\n' >/etc/systemd/system/mine.service.d/nice.conf
printf '[Timer]\nOnCalendar=monthly\n[Install]\nWantedBy=timers.target\n' >/etc/systemd/system/mine.timer
printf '[Socket]\nListenStream=/run/mine.sock\n[Install]\nWantedBy=sockets.target\n' >/etc/systemd/system/mine.socket
systemctl daemon-reload
systemctl enable --quiet --now mine.service
systemctl enable --quiet mine.timer

if command -v nginx >/dev/null; then
    mkdir -p /etc/sysusers.d
    echo 'g mine-too -' >/etc/sysusers.d/mine.conf
    sed -i '1i # Mine. Do not touch.' /etc/nginx/nginx.conf
    # shellcheck disable=SC2016  # nginx's variables, not the shell's
    echo 'map $http_upgrade $mine { default 1; }' >/etc/nginx/conf.d/mine.conf
    printf 'server {\n    listen 8081;\n    server_name mine.example;\n    root /var/www/mine;\n}\n' \
        >/etc/nginx/sites-available/mine
    printf 'server {\n    listen 80;\n    server_name other.example;\n    return 200 other;\n}\n' \
        >/etc/nginx/sites-available/other.conf
    ln -s ../sites-available/mine /etc/nginx/sites-enabled/mine
    ln -s /etc/nginx/sites-available/other.conf /etc/nginx/sites-enabled/other.conf
    systemctl reload nginx
    echo mine >/root/mine.txt
    tar -C /root -c mine.txt | docker import --change 'CMD ["/sleep"]' - mine:1 >/dev/null
    docker volume create --label mine=1 mine-data >/dev/null
    docker network create mine-net >/dev/null
    mkdir /root/busy; cp /bin/sleep /root/busy/; ldd /bin/sleep | grep -o '/[^ ]*' | xargs -I{} cp --parents {} /root/busy/
    tar -C /root/busy -c . | docker import --change 'CMD ["/sleep", "infinity"]' - mine:2 >/dev/null
    docker run --detach --name mine --network mine-net --volume mine-data:/data --restart unless-stopped mine:2 >/dev/null
    docker create --name mine-too mine:1 >/dev/null
    ufw allow 22/tcp >/dev/null; ufw allow 8081/tcp >/dev/null; ufw deny 9/udp >/dev/null
    ufw --force enable >/dev/null
fi

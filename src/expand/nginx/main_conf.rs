use std::path::PathBuf;

use crate::model::Layout;

/// The whole of `nginx.conf` for `up`, which has no system nginx around it. Its paths must be plain words.
///
/// The workers of a master that root runs become `user`: without it they would not get into a private
/// directory. Another user's master has no choice, and warns if it is given one.
pub fn main_conf(layout: &Layout, user: Option<&str>) -> String {
    let at = |path: PathBuf| path.to_string_lossy().into_owned();
    let (logs, run) = (at(layout.logs.clone()), at(layout.run.clone()));
    let user = user.map_or_else(String::new, |user| format!("user {user} {user};\n"));
    format!(
        "{user}daemon off;\npid \"{run}/nginx.pid\";\nerror_log \"{logs}/error.log\";\nworker_processes 2;\n\
         events {{ worker_connections 1024; }}\nhttp {{\n    include /etc/nginx/mime.types;\n    \
         default_type application/octet-stream;\n    sendfile on;\n    access_log \"{logs}/access.log\";\n    \
         client_body_temp_path \"{run}/body\";\n    proxy_temp_path \"{run}/proxy\";\n    \
         fastcgi_temp_path \"{run}/fastcgi\";\n    uwsgi_temp_path \"{run}/uwsgi\";\n    scgi_temp_path \"{run}/scgi\";\n    \
         include \"{conf}/conf.d/*.conf\";\n    include \"{conf}/sites-enabled/*\";\n}}\n",
        conf = at(layout.nginx.clone()),
    )
}

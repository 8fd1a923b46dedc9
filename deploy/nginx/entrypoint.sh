#!/bin/sh
# Runs nginx in front of the API. On HUP it reads certificates again.
#
#   OUTER_PROXY   address or network of another proxy in front of this one (a load balancer), whose
#                 X-Forwarded-For is believed; nobody's where it is not set
#   HSTS          what Strict-Transport-Security says over TLS; a year where it is not set. With
#                 `includeSubDomains` it speaks for all hosts below this one
#
# Files, outside a container in the folders NGINX_CONFIG, NGINX_TLS and NGINX_RUN:
#   tls/server.crt, tls/server.key   then there is TLS, on port 8443
set -eu
umask 077

config=${NGINX_CONFIG:-/etc/cymba/nginx}
tls=${NGINX_TLS:-/etc/cymba/tls}
run=${NGINX_RUN:-/run/nginx}

here() {
  sed -e "s|/run/nginx/|$run/|" -e "s|/etc/cymba/tls/|$tls/|" "$1"
}

here "$config/nginx.conf" >"$run/nginx.conf"
if [ -f "$tls/server.crt" ]; then here "$config/tls.conf"; fi >"$run/tls.conf"
{
  printf 'map $https $hsts { on "%s"; }\n' "${HSTS:-max-age=31536000}"
  if [ -n "${OUTER_PROXY:-}" ]; then
    printf 'set_real_ip_from %s;\nreal_ip_header X-Forwarded-For;\nreal_ip_recursive on;\n' "$OUTER_PROXY"
  fi
} >"$run/outer.conf"

exec nginx -c "$run/nginx.conf" -e stderr

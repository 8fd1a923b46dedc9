#!/bin/sh
# Runs nginx in front of the API. On HUP it reads certificates again.
#
#   API           addresses of its processes, such as "127.0.0.1:8000 127.0.0.1:8001". Where it is not
#                 set they are asked of compose's name server, again and again: an API that was
#                 replaced has another address
#   RESOLVER      that name server, where it is not compose's own
#   HTTP_LISTEN, HTTPS_LISTEN   address and port, 8080 and 8443 where they are not set
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
  sed -e "s|/run/nginx/|$run/|" -e "s|/etc/cymba/tls/|$tls/|" \
    -e "s|listen 8080;|listen ${HTTP_LISTEN:-8080};|" \
    -e "s|listen 8443 |listen ${HTTPS_LISTEN:-8443} |" "$1"
}

here "$config/nginx.conf" >"$run/nginx.conf"
if [ -f "$tls/server.crt" ]; then here "$config/tls.conf"; fi >"$run/tls.conf"
{
  if [ -n "${API:-}" ]; then
    echo 'upstream processes_of_the_api {'
    # It remembers no failure: in an upgrade one goes as soon as the other is back.
    for address in $API; do printf 'server %s max_fails=0;\n' "$address"; done
    echo '}'
    echo 'map "" $api { default http://processes_of_the_api; }'
  else
    printf 'resolver %s valid=5s ipv6=off;\n' "${RESOLVER:-127.0.0.11}"
    echo 'map "" $api { default http://api:8000; }'
  fi
  printf 'map $https $hsts { on "%s"; }\n' "${HSTS:-max-age=31536000}"
  if [ -n "${OUTER_PROXY:-}" ]; then
    printf 'set_real_ip_from %s;\nreal_ip_header X-Forwarded-For;\nreal_ip_recursive on;\n' "$OUTER_PROXY"
  fi
} >"$run/around.conf"

exec nginx -c "$run/nginx.conf" -e stderr

/*
 * The mesh that tests of Discovery serve: two pods that ask, a Service with one endpoint, and one
 * without.
 */
#ifndef WEFT_TESTS_SUPPORT_PUSH_SHOP_H
#define WEFT_TESTS_SUPPORT_PUSH_SHOP_H

#include "tests/support/worlds.h"

#define ME POD("me", "10.0.0.1", "{app: me}", "")
#define YOU POD("you", "10.0.0.9", "{app: you}", "")
#define WEB(ip) POD("web-1", ip, "{app: web}", "")
#define SERVICE(name, vip, app)                                                             \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: shop}\n" \
	"spec: {clusterIP: " vip ", selector: {app: " app "}, ports: [{port: 80}]}\n"
#define SHOP(ip) ME YOU WEB(ip) SERVICE("web", "10.96.0.1", "web") SERVICE("db", "10.96.0.2", "db")

#endif

// Shows the reference. All that Scalar would fetch from elsewhere, or tell to somebody, is off; the
// page's Content-Security-Policy would stop it as well.
"use strict";

if (window.Scalar === undefined) {
  document.getElementById("missing").hidden = false;
} else {
  window.Scalar.createApiReference("#reference", {
    url: "/v1/openapi.json",
    telemetry: false,
    withDefaultFonts: false,
    agent: { disabled: true },
    mcp: { disabled: true },
    showDeveloperTools: "never",
    hideClientButton: true,
    documentDownloadType: "direct",
    persistAuth: false, // a token that stays in the browser is a token for whoever comes next
    theme: "default",
    defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
    authentication: { preferredSecurityScheme: "bearer" },
  });
}

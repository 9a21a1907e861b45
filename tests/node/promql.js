// Reads rules of Prometheus (YAML) and a dashboard of Grafana (JSON), and prints what they hold: each expression with what
// the grammar of Prometheus says of it, and the metrics that it names.
"use strict";

const fs = require("node:fs");
const { parser } = require("@prometheus-io/lezer-promql");
const yaml = require("yaml");

function parsed(expression) {
  // A dashboard's own variables stand for times.
  const text = expression.replaceAll("$__rate_interval", "5m");
  const metrics = new Set();
  let isWrong = false;
  parser.parse(text).iterate({
    enter(node) {
      isWrong ||= node.type.isError;
      const name = text.slice(node.from, node.to);
      if (node.name === "Identifier" && node.node.parent.name === "VectorSelector") metrics.add(name);
    },
  });
  return { expression, isWrong, metrics: [...metrics] };
}

const [rules, dashboard] = process.argv.slice(2);
const told = { alerts: [], panels: [], wrong: [] };
if (rules) {
  for (const group of yaml.parse(fs.readFileSync(rules, "utf8")).groups) {
    for (const rule of group.rules) told.alerts.push({ ...rule, ...parsed(rule.expr) });
  }
}
if (dashboard) {
  for (const panel of JSON.parse(fs.readFileSync(dashboard, "utf8")).panels) {
    const targets = (panel.targets ?? []).map((target) => parsed(target.expr));
    told.panels.push({ title: panel.title, type: panel.type, targets });
  }
}
told.wrong = ["rate(keystead_calls_total[5m]", "sum by (", "keystead_serving == = 0"].map(parsed);
process.stdout.write(JSON.stringify(told));

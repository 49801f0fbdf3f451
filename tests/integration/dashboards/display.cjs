// Asks Grafana's own code how it shows values. Reads [{config, values}, …] from the file that is
// named first, and prints for each the texts and colours, and what Grafana knows of by id.
globalThis.window = globalThis;
globalThis.navigator = { language: 'en-GB', languages: ['en-GB'] };
const data = require('@grafana/data');
const theme = data.createTheme();
const cases = JSON.parse(require('fs').readFileSync(process.argv[2], 'utf8'));

function shown({ config, values }) {
  const show = data.getDisplayProcessor({
    field: { name: 'value', type: 'number', values: [], config },
    theme,
    timeZone: 'utc',
  });
  return values.map((value) => {
    const { text, color, prefix = '', suffix = '' } = show(value);
    return { text: prefix + text + suffix, color };
  });
}

const names = ['red', 'orange', 'green', 'blue', 'purple', '#8e8e8e'];
console.log(
  JSON.stringify({
    shown: cases.map(shown),
    colors: Object.fromEntries(names.map((name) => [name, theme.visualization.getColorByName(name)])),
    units: data.getValueFormats().flatMap((group) => group.submenu.map((unit) => unit.value)),
    transformers: Object.values(data.standardTransformers).map((one) => one.id),
    reducers: data.fieldReducers.list().map((one) => one.id),
    matchers: data.fieldMatchers.list().map((one) => one.id),
  })
);

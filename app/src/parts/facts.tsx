/** Names and what they are worth; what nobody knows is left out. */
export function Facts({ of }: { of: [name: string, value: string | null][] }) {
  const known = of.filter(([, value]) => value !== null && value !== "");
  return (
    <dl class="facts">
      {known.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd class="number">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

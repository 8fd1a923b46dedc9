/** What a form asks. Each field says its label, its hint and what is wrong with it to everybody. */

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { Icon } from "./icon.tsx";

interface FieldProps {
  label: string;
  /** Where what stands above says the same to the eye. */
  isLabelHidden?: boolean;
  hint?: string | undefined;
  error?: string | null | undefined;
}

interface TextFieldProps extends FieldProps {
  value: string;
  onInput: (value: string) => void;
  type?: "text" | "email" | "password" | "number" | "date" | "time" | "datetime-local" | "search";
  autocomplete?: string;
  required?: boolean;
  min?: string | number;
  max?: string | number;
  step?: string | number;
  maxLength?: number;
  inputMode?: "numeric" | "decimal" | "text" | "email";
  /** More lines than one. */
  lines?: number;
}

export function TextField(props: TextFieldProps) {
  const id = useId();
  const shared = {
    id,
    class: "input",
    value: props.value,
    required: props.required ?? false,
    maxLength: props.maxLength,
    "aria-invalid": Boolean(props.error),
    "aria-describedby": describedBy(id, props),
    onInput: (event: { currentTarget: { value: string } }) => props.onInput(event.currentTarget.value),
  };
  return (
    <Described id={id} {...props}>
      {props.lines === undefined ? (
        <input
          {...shared}
          type={props.type ?? "text"}
          autocomplete={props.autocomplete}
          min={props.min}
          max={props.max}
          step={props.step}
          inputMode={props.inputMode}
        />
      ) : (
        <textarea {...shared} rows={props.lines} />
      )}
    </Described>
  );
}

interface SelectProps<T extends string> extends FieldProps {
  value: T;
  options: readonly { value: T; label: string }[];
  onChange: (value: T) => void;
}

export function Select<T extends string>(props: SelectProps<T>) {
  const id = useId();
  return (
    <Described id={id} {...props}>
      <select
        id={id}
        class="input"
        aria-invalid={Boolean(props.error)}
        aria-describedby={describedBy(id, props)}
        onChange={(event) => props.onChange(event.currentTarget.value as T)}
      >
        {props.options.map(({ value, label }) => (
          <option key={value} value={value} selected={value === props.value}>
            {label}
          </option>
        ))}
      </select>
    </Described>
  );
}

export function Check(props: { label: ComponentChildren; checked: boolean; onChange: (checked: boolean) => void }) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={props.checked}
        onChange={(event) => props.onChange(event.currentTarget.checked)}
      />
      <span>{props.label}</span>
    </label>
  );
}

interface ChoiceProps<T> extends FieldProps {
  options: readonly { value: T; label: string }[];
  value: T | null;
  onChange: (value: T) => void;
  /** A row of numbers, rather than words of their own width. */
  isScale?: boolean;
}

/** One of a few, all of them to be seen. */
export function Choice<T extends string | number>(props: ChoiceProps<T>) {
  const id = useId();
  return (
    <fieldset class="field" aria-describedby={describedBy(id, props)}>
      <legend class={props.isLabelHidden ? "visually-hidden" : "legend"}>{props.label}</legend>
      <div class={props.isScale ? "scale" : "choices"}>
        {props.options.map(({ value, label }) => (
          <label class="chip" key={value}>
            <input
              type="radio"
              name={id}
              checked={props.value === value}
              onChange={() => props.onChange(value)}
            />
            <span>{label}</span>
          </label>
        ))}
      </div>
      <Notes id={id} {...props} />
    </fieldset>
  );
}

interface ChoicesProps<T> extends FieldProps {
  options: readonly { value: T; label: string }[];
  values: readonly T[];
  onChange: (values: T[]) => void;
}

/** Any number of them. */
export function Choices<T extends string>(props: ChoicesProps<T>) {
  const id = useId();
  return (
    <fieldset class="field" aria-describedby={describedBy(id, props)}>
      <legend class={props.isLabelHidden ? "visually-hidden" : "legend"}>{props.label}</legend>
      <div class="choices">
        {props.options.map(({ value, label }) => (
          <label class="chip" key={value}>
            <input
              type="checkbox"
              checked={props.values.includes(value)}
              onChange={() => props.onChange(toggled(props.values, value))}
            />
            <span>{label}</span>
          </label>
        ))}
      </div>
      <Notes id={id} {...props} />
    </fieldset>
  );
}

/** The values without this one, or with it where it was not among them. */
export function toggled<T>(values: readonly T[], value: T): T[] {
  return values.includes(value) ? values.filter((one) => one !== value) : [...values, value];
}

function Described(props: FieldProps & { id: string; children: ComponentChildren }) {
  return (
    <div class="field">
      <label class={props.isLabelHidden ? "visually-hidden" : undefined} for={props.id}>
        {props.label}
      </label>
      {props.children}
      <Notes {...props} />
    </div>
  );
}

function Notes({ id, hint, error }: FieldProps & { id: string }) {
  return (
    <>
      {hint && (
        <p class="soft small" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {error && (
        <p class="error small" id={`${id}-error`}>
          <Icon name="warning" />
          {error}
        </p>
      )}
    </>
  );
}

function describedBy(id: string, { hint, error }: FieldProps): string | undefined {
  const named = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean);
  return named.length > 0 ? named.join(" ") : undefined;
}

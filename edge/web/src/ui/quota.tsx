import type { UsageView } from "../api/types.ts";
import { timeOfDay } from "../stream/words.ts";

const FEW = 0.2;

/** What is left of the budget, and when it is full again. */
export function Quota({ usage }: { readonly usage: UsageView }) {
  const { budget } = usage;
  if (!budget || budget.limit <= 0) return null;
  const part = Math.max(0, Math.min(1, budget.remaining / budget.limit));
  const now = Date.now();
  const fullAt = budget.fullAt ? Date.parse(budget.fullAt) : now;
  const full = part < 1 && fullAt > now ? `full again ${timeOfDay(fullAt, now)}` : "";
  return (
    <div class="quota">
      <label>
        <span>
          Budget <b>{Math.round(part * 100)} %</b>
        </span>
        <span>{full}</span>
        <meter min={0} max={1} low={FEW} optimum={1} value={part}>
          {Math.round(part * 100)} %
        </meter>
      </label>
    </div>
  );
}

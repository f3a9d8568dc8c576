// What is planned for those who wait, for those who start, and for those who are picked.

import { get } from "./api.js";

const MOST_PLANNED = 8;

export const plan = (models) => get(`plan?${models.map((one) => `model=${encodeURIComponent(one)}`).join("&")}`);

// They come one after the other where they do not fit at once: then each is planned by itself.
export async function asked(models) {
  const some = models.slice(0, MOST_PLANNED);
  const together = await plan(some);
  if (together.fits || some.length === 1) return together;
  const each = await Promise.all(some.map((one) => plan([one])));
  return { fits: false, seats: each.flatMap((one) => one.seats) };
}
